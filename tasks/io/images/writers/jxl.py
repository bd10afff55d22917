"""JPEG XL written without loss, with its boxes of metadata: ISO/IEC 18181-2."""

from tasks.io.images.raster import Depth, Raster
from tasks.io.images.writers.boxes import box, boxes
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.jxl_colours import SIGNATURE, with_colours
from tasks.io.images.writers.levels import samples
from tasks.io.images.writers.metadata import exif_with_resolution

_EFFORT = 1
_FIRST = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
_CODESTREAM, _LEVEL, _EXIF, _XMP = b"jxlc", b"jxll", b"Exif", b"xml "


def write_jxl(raster: Raster, depth: Depth, _: Form) -> bytes:
    """Return an image as JPEG XL without loss."""
    from imagecodecs import jpegxl_encode

    said = raster.metadata
    data = jpegxl_encode(samples(raster, depth), effort=_EFFORT, lossless=True, numthreads=1)
    level, codestream = _parts(bytes(data))
    codestream = with_colours(codestream, said.icc, is_grey=raster.is_grey)
    exif = exif_with_resolution(said)
    beside = box(_EXIF, bytes(4) + exif) if exif else b""
    beside += box(_XMP, said.xmp) if said.xmp else b""
    if not (level or beside):
        return codestream
    return _FIRST + level + beside + box(_CODESTREAM, codestream)


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Return the box that tells a file's level, if it is none of the lowest, and its codestream."""
    if data.startswith(SIGNATURE):
        return b"", data
    found = dict(boxes(data))
    level = box(_LEVEL, found[_LEVEL]) if _LEVEL in found else b""
    return level, found[_CODESTREAM]
