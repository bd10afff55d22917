"""The pixels of an HEIC or HEIF, of 8, 10 or 12 bits, and what it says beside them."""

from typing import Literal

import numpy as np

from tasks.io.errors import ImageRefused
from tasks.io.images.formats.loaded import Loaded, of_samples, unmultiplied
from tasks.io.images.limits import SEVERAL_FRAMES, Limits, Wanted
from tasks.io.images.metadata.tags import EXIF_PREFIX
from tasks.io.images.raster import Metadata

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def format_in_boxes(data: bytes) -> Literal["avif", "heic"] | None:
    """Return which format a file of boxes has, by the brands that its first box names."""
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[place : place + 4] for place in range(16, end, 4))}
    if brands & _AVIF:
        return "avif"
    return "heic" if brands & _HEIC else None


def load(data: bytes, limits: Limits, wanted: Wanted) -> Loaded:
    """Return the pixels of the primary image, upright.

    Raises:
        ImageRefused: libheif is not here, the size is excluded, or there are several images.
        Exception: libheif cannot decode it.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageRefused(
            "HEIC is read where the extra `heic` is installed (pip install 'dot-pipeline[heic]')"
        ) from error
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.options.THUMBNAILS = False
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    limits.require_size(*file.size)
    if len(file) > 1 and not wanted.first_frame:
        raise ImageRefused(SEVERAL_FRAMES)
    said, bits = file.info, int(file.info.get("bit_depth", 8))
    metadata = Metadata(
        icc=bytes(said.get("icc_profile") or b""),
        exif=_without_prefix(bytes(said.get("exif") or b"")),
        xmp=bytes(said.get("xmp") or b""),
    )
    loaded = of_samples(np.asarray(file), bits, is_upright=True)
    if loaded.alpha is not None and file.premultiplied_alpha:
        loaded = loaded._replace(colours=unmultiplied(loaded.colours, loaded.alpha))
    return loaded._replace(metadata=metadata)


def _without_prefix(exif: bytes) -> bytes:
    return exif.removeprefix(EXIF_PREFIX)
