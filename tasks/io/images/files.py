"""Image files written: in which formats, and what they can hold."""

import io
from typing import Literal

from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images.raster import EIGHT_BITS, Depth, Pixels, Raster

Format = Literal["webp", "png", "jpeg"]

LONGEST_SIDE: dict[Format, int] = {"webp": 16_383, "png": 2**31 - 1, "jpeg": 65_500}
"""Pixels of a side that the formats, and the libraries that write them, can hold."""


def encode(raster: Raster, file_format: Format) -> bytes:
    """Return an image as a file: WebP and PNG without loss, JPEG with quality 95.

    Raises:
        ImageRefused: a side is longer than the format can hold.
    """
    pixels = raster.pixels
    if complaint := too_long(pixels, file_format):
        raise ImageRefused(complaint)
    options = {
        "webp": {"lossless": True, "method": 0, "quality": 0},
        "png": {"compress_level": 1},
        "jpeg": {"quality": 95, "subsampling": 0},
    }[file_format]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, file_format.upper(), **options)
    return out.getvalue()


def depth_written(raster: Raster, file_format: Format) -> Depth:
    """Return the type of the numbers that pixels made of an image are rounded to, to be written."""
    return EIGHT_BITS


def too_long(pixels: Pixels, file_format: Format) -> str | None:
    """Return why a side is too long for a format; None if the format can hold the image."""
    longest = LONGEST_SIDE[file_format]
    if max(pixels.shape) <= longest:
        return None
    size = f"{pixels.shape[1]}×{pixels.shape[0]}"
    return f"too long for {file_format}: {size}, at most {longest} pixels a side; png holds more"


def is_lossless(file_format: Format) -> bool:
    """Return whether ``decode`` gives back the very pixels that ``encode`` was given."""
    return file_format != "jpeg"


def extension_of(file_format: Format) -> str:
    """Return the ending of file names for a format, without the dot."""
    return "jpg" if file_format == "jpeg" else file_format
