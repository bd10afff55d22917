"""WebP, JPEG, AVIF of 8 bits and HEIC, which Pillow and its plug-in write."""

import io
from typing import Any

from PIL import Image

from tasks.io.images.raster import EIGHT_BITS, Depth, Metadata, Raster
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.levels import samples
from tasks.io.images.writers.metadata import exif_with_resolution, without_orientation

_MOST_EXIF, _MOST_XMP, _MOST_ICC = 65_527, 65_504, 255 * 65_519
"""Bytes that a JPEG holds: of Exif and of XMP in one segment, of a profile in 255."""

SPEED = 9
"""Of AVIF's encoder, from 0 to 10: four times as fast as 8, for files that are 7 % larger."""

_PRESET = "fast"
"""Of HEIC's encoder: twice as fast as its default, for files that are 4 % larger."""

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_CHROMA = {"4:4:4": 444, "4:2:2": 422, "4:2:0": 420}


def write_webp(raster: Raster, depth: Depth, _: Form) -> bytes:
    """Return an image as WebP without loss; colours stay where alpha is zero."""
    how = {"lossless": True, "method": 0, "quality": 0, "exact": raster.alpha is not None}
    return _saved(raster, depth, "WEBP", **how, **_beside(raster))


def write_jpeg(raster: Raster, depth: Depth, form: Form) -> bytes:
    """Return an image as JPEG."""
    said = raster.metadata
    beside = _beside(raster) | ({"dpi": said.resolution} if said.resolution else {})
    beside |= {"exif": b"Exif\0\0" + said.exif if said.exif else b""}
    how = {"quality": form.quality, "subsampling": form.subsampling}
    return _saved(raster, depth, "JPEG", **how, **beside)


def too_long_for_jpeg(said: Metadata) -> str | None:
    """Return which of an image's metadata is longer than JPEG can hold; None if none is."""
    for name, size, most in (
        ("Exif", len(said.exif), _MOST_EXIF),
        ("XMP", len(said.xmp), _MOST_XMP),
        ("colour profile", len(said.icc), _MOST_ICC),
    ):
        if size > most:
            return f"{name} too long for jpeg: {size} bytes, at most {most}; png holds more"
    return None


def write_avif(raster: Raster, depth: Depth, form: Form) -> bytes:
    """Return an image as AVIF of 8 bits."""
    beside = _beside(raster)
    beside |= {"exif": without_orientation(beside.get("exif", b""))}  # else it is written anew
    subsampling = "4:0:0" if raster.is_grey and raster.alpha is None else form.subsampling
    how = {"quality": form.quality, "subsampling": subsampling, "speed": SPEED, "max_threads": 1}
    return _saved(raster, depth, "AVIF", **how, **beside)


def write_heic(raster: Raster, depth: Depth, form: Form) -> bytes:
    """Return an image as HEIC, of 8, 10 or 12 bits."""
    from pillow_heif import encode

    levels, out = samples(raster, depth), io.BytesIO()
    mode = _MODES[levels.shape[2] if levels.ndim == 3 else 1]
    encode(
        mode if depth == EIGHT_BITS else f"{mode};16",
        (raster.width, raster.height),
        levels.tobytes(),
        out,
        format="HEIF",
        quality=form.quality,
        chroma=_CHROMA[form.subsampling],
        bit_depth=bits_of(raster),
        enc_params={"preset": _PRESET},
        **_beside(raster),
    )
    return out.getvalue()


def bits_of(raster: Raster) -> int:
    """Return the bits of a sample that AVIF and HEIC have of 10 and 12 for deep images."""
    return 10 if raster.bits in (9, 10) else 12


def _beside(raster: Raster) -> dict[str, Any]:
    """Return what an image says beside its pixels, as Pillow takes it; nothing is left empty."""
    said = raster.metadata
    found = {"icc_profile": said.icc, "exif": exif_with_resolution(said), "xmp": said.xmp}
    return {name: value for name, value in found.items() if value}


def _saved(raster: Raster, depth: Depth, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(samples(raster, depth)).save(out, kind, **options)
    return out.getvalue()
