"""JPEG XL written without loss, with its boxes of metadata: ISO/IEC 18181-2."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.io.errors import ImageRefused
from tasks.io.images.raster import Depth, Raster
from tasks.io.images.writers.boxes import box, boxes
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.jxl_colours import SIGNATURE, with_colours
from tasks.io.images.writers.levels import samples
from tasks.io.images.writers.metadata import exif_with_resolution

_EFFORTS = (1, 2)
"""Efforts of the encoder, the quick one first: at 1, libjxl 0.11 does not give back some small
images with many values at the ends of their range. What it makes is decoded again and compared."""
_FIRST = b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl "
_CODESTREAM, _LEVEL, _EXIF, _XMP = b"jxlc", b"jxll", b"Exif", b"xml "


def write_jxl(raster: Raster, depth: Depth, _: Form) -> bytes:
    """Return an image as JPEG XL without loss."""
    said = raster.metadata
    level, codestream = _parts(_encoded(samples(raster, depth)))
    codestream = with_colours(codestream, said.icc, is_grey=raster.is_grey)
    exif = exif_with_resolution(said)
    beside = box(_EXIF, bytes(4) + exif) if exif else b""
    beside += box(_XMP, said.xmp) if said.xmp else b""
    if not (level or beside):
        return codestream
    return _FIRST + level + beside + box(_CODESTREAM, codestream)


def _encoded(pixels: NDArray[Any]) -> bytes:
    """Return a file that gives back the very numbers.

    Raises:
        ImageRefused: the encoder makes none.
    """
    from imagecodecs import jpegxl_decode, jpegxl_encode

    for effort in _EFFORTS:
        data = bytes(jpegxl_encode(pixels, effort=effort, lossless=True, numthreads=1))
        if np.array_equal(jpegxl_decode(data, numthreads=1), pixels):
            return data
    raise ImageRefused("jxl without loss cannot be made of it by libjxl; write it as png")


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """Return the box that tells a file's level, if it is none of the lowest, and its codestream."""
    if data.startswith(SIGNATURE):
        return b"", data
    found = dict(boxes(data))
    level = box(_LEVEL, found[_LEVEL]) if _LEVEL in found else b""
    return level, found[_CODESTREAM]
