"""Images written in any form: what a format cannot hold is said, and never lost silently.

The rules, by what an image has and a format lacks:

- depth: rounded to the largest that the format holds (``depth_written``);
- one channel of grey: three equal ones, with a profile of RGB that shows the same;
- alpha: refused;
- a profile of other colours than the image has: refused;
- Exif, XMP or a profile of more bytes than the format takes: refused;
- a resolution, in WebP, AVIF, HEIC and JPEG XL: goes into Exif where the image has none;
- a resolution below one pixel per inch or above 65535: left out.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images.raster import EIGHT_BITS, Depth, Raster
from tasks.io.images.writers import by_pillow, tiff
from tasks.io.images.writers.avif import write_deep_avif
from tasks.io.images.writers.bmp import write_bmp
from tasks.io.images.writers.form import Form, brought, holds_of
from tasks.io.images.writers.jxl import write_jxl
from tasks.io.images.writers.levels import samples
from tasks.io.images.writers.metadata import (
    GREY,
    RGB,
    exif_directory,
    exif_with_resolution,
    likely_resolution,
    rgb_of_grey,
    space_of,
    tells_more_than_resolution,
)
from tasks.io.images.writers.png import write_png

_WRITERS: dict[str, Callable[[Raster, Depth, Form], bytes]] = {
    "webp": by_pillow.write_webp,
    "png": write_png,
    "jpeg": by_pillow.write_jpeg,
    "tiff": tiff.write_tiff,
    "bmp": write_bmp,
    "avif": by_pillow.write_avif,
    "heic": by_pillow.write_heic,
    "jxl": write_jxl,
}


def encode(raster: Raster, form: Form) -> bytes:
    """Return an image as a file, with all that it says beside its pixels.

    Raises:
        ImageRefused: the format cannot hold the image; ``complaint`` says so beforehand.
    """
    if reason := complaint(raster, form):
        raise ImageRefused(reason)
    file_format, depth = form.of(raster), depth_written(raster, form)
    if (plug_in := brought(file_format)) is not None:
        held = _held(raster, file_format)
        said = held.metadata._replace(exif=exif_with_resolution(held.metadata))
        return plug_in.write(samples(held, depth), said)
    if file_format == "avif" and depth != EIGHT_BITS:
        return write_deep_avif(_held(raster, file_format), depth, form)
    return _WRITERS[file_format](_held(raster, file_format), depth, form)


def encode_lossless(raster: Raster) -> tuple[bytes, str]:
    """Return an image as a file that gives back its pixels, and the format of it.

    It is WebP of 8 bits in a size that WebP holds, PNG up to 16 bits, else TIFF.

    Raises:
        ImageRefused: none of them can hold the image.
    """
    form = _lossless_form(raster)
    return encode(raster, form), form.of(raster)


def _lossless_form(raster: Raster) -> Form:
    """Return in which form ``encode_lossless`` writes an image."""
    forms = [
        form
        for form in (Form("webp"), Form("png"), Form("tiff"))
        if depth_written(raster, form) == raster.depth
    ]
    return next((form for form in forms if complaint(raster, form) is None), forms[0])


def depth_written(raster: Raster, form: Form) -> Depth:
    """Return the type of the numbers that a form holds of an image: at most that of the image."""
    depths = holds_of(form.of(raster)).depths
    return raster.depth if raster.depth.name in depths else np.dtype(depths[-1])


def complaint(raster: Raster, form: Form) -> str | None:
    """Return why a form cannot hold an image; None if it can."""
    file_format = form.of(raster)
    return (
        _complaint_of_size(raster, file_format)
        or _complaint_of_profile(raster, file_format)
        or _complaint_of_metadata(raster, file_format)
        or _complaint_of_library(raster, file_format)
    )


def _complaint_of_size(raster: Raster, file_format: str) -> str | None:
    longest, size = holds_of(file_format).longest_side, f"{raster.width}×{raster.height}"
    if max(raster.height, raster.width) > longest:
        return (
            f"too long for {file_format}: {size}, at most {longest} pixels a side; png holds more"
        )
    if file_format == "tiff" and raster.pixels.nbytes * 4 // 3 > tiff.MOST_BYTES:
        return f"too large for tiff: {size} of {raster.depth}, at most 4 GiB; png holds more"
    if raster.alpha is not None and not holds_of(file_format).alpha:
        return f"transparent, which {file_format} cannot hold; png holds it"
    return None


def _complaint_of_profile(raster: Raster, file_format: str) -> str | None:
    icc = raster.metadata.icc
    space = space_of(icc)
    if icc and space not in (RGB, GREY):
        return f"colour profile of {space.decode('ascii', 'replace').strip()!r} with RGB pixels"
    if space == GREY and _needs_rgb(raster, file_format) and rgb_of_grey(icc) is None:
        return f"colour profile of grey without a curve, which {file_format} cannot hold"
    return None


def _complaint_of_metadata(raster: Raster, file_format: str) -> str | None:
    said = raster.metadata
    if (plug_in := brought(file_format)) is not None:
        return plug_in.complaint(said)
    if file_format in ("tiff", "avif") and said.exif:
        directory = exif_directory(said.exif)
        if directory is None or directory.is_big:
            return f"damaged Exif, which {file_format} cannot hold; png can"
    if file_format == "bmp" and (said.xmp or tells_more_than_resolution(said.exif)):
        return "Exif or XMP, which bmp cannot hold; png holds them"
    return by_pillow.too_long_for_jpeg(said) if file_format == "jpeg" else None


def missing_library(form: Form) -> str | None:
    """Return a sentence on the library that a form needs and is not installed; None for none.

    A plug-in is tried out.
    """
    try:
        plug_in = brought(form.format)
        if plug_in is not None:
            plug_in.try_out()
    except ConfigurationError as error:
        return str(error)
    name = None if form.format == "keep" else _missing_library(form.format, EIGHT_BITS)
    if name is None:
        return None
    return f"format {form.format} must have the library {name}, got none; pip install {name}"


def _complaint_of_library(raster: Raster, file_format: str) -> str | None:
    name = _missing_library(file_format, raster.depth)
    return name and f"{file_format} of {raster.depth} is written by {name}; pip install {name}"


def _missing_library(file_format: str, depth: Depth) -> str | None:
    """Return the name of the package that writes such images, if it is not installed."""
    needed = {"jxl": "imagecodecs", "heic": "pillow-heif"}.get(file_format)
    if file_format == "avif" and depth != EIGHT_BITS:
        needed = "imagecodecs"
    return needed if needed and find_spec(needed.replace("-", "_")) is None else None


def _needs_rgb(raster: Raster, file_format: str) -> bool:
    """Whether an image is written in three channels: it is no grey one, or its file is not."""
    holds = holds_of(file_format)
    holds_grey = holds.grey if raster.alpha is None else holds.grey_with_alpha
    return not (raster.is_grey and holds_grey) or space_of(raster.metadata.icc) == RGB


def _held(raster: Raster, file_format: str) -> Raster:
    """Return an image as it is written: in as many channels as its profile and format have."""
    said = raster.metadata
    said = said._replace(resolution=likely_resolution(said.resolution))
    if not _needs_rgb(raster, file_format):
        return replace(raster, metadata=said)
    if space_of(said.icc) == GREY:
        said = said._replace(icc=rgb_of_grey(said.icc) or b"")
    return replace(raster, is_grey=False, metadata=said)
