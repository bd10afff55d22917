"""The pixels of a TIFF: what is mended of those that Pillow gives, and the damage it hides."""

import io
import zlib
from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tasks.io.images.formats import jpeg, sixteen_bits
from tasks.io.images.formats.tiff_layout import DEFLATE, JPEG, MOST_TAGS, RGB, UNPACKED, Layout
from tasks.io.images.tags import Directory

_WIDTH, _HEIGHT, _STRIPS, _ROWS, _STRIP_SIZES, _COLOURS = 256, 257, 273, 278, 279, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _JPEG_TABLES = 322, 323, 324, 325, 347


_TWELVE_BITS = np.rint(np.arange(4096) * (255 / 4095)).astype(np.uint8)
"""Levels of 12 bits in 8."""


def load(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Return the pixels of an opened TIFF of a layout that is read: in modes of 8 bits.

    Raises:
        ValueError, zlib.error, ImageRefused: pixels are missing or damaged, or have a colour
            that the palette has not.
        OSError: libtiff, or Pillow, gives up.
    """
    if (directory := Directory.of(data, MOST_TAGS)) is None:
        raise ValueError("it has no tags")
    layout = Layout.of(directory)
    _require_pieces(directory, layout)
    image.load()
    if layout.depth == 16:
        return _of_sixteen_bits(image, data)
    if layout.depth == 12:
        return Image.fromarray(_TWELVE_BITS[np.asarray(image)])
    if image.mode == "P":
        return _in_colours(np.asarray(image), directory)
    if image.mode == "La":  # if it is opaque, as is looked at later, it is grey with alpha
        return Image.fromarray(np.asarray(image))
    return image


def _of_sixteen_bits(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    if image.mode.startswith("I;16"):
        return sixteen_bits.image_of(np.asarray(image).astype(np.uint16))
    wide = sixteen_bits.samples(image, data)
    if image.mode == "CMYK":
        return Image.frombytes("CMYK", image.size, sixteen_bits.rounded(wide).tobytes())
    return sixteen_bits.image_of(wide)


def _in_colours(indices: NDArray[np.uint8], directory: Directory) -> Image.Image:
    """Return what a palette's indices show.

    Of colours of 16 bits the upper 8 count, as programs write 256 or 257 times a colour of 8
    bits; and colours that are all below 256 have 8 bits, which old programs wrote, as libtiff
    does.
    """
    colours = np.array(directory.numbers(_COLOURS), np.uint16).reshape(3, -1).T
    if indices.max() >= len(colours):
        raise ValueError("a pixel has a colour that its palette has not")
    narrow = colours >> 8 if colours.max() > 255 else colours
    return Image.fromarray(narrow.astype(np.uint8)[indices])


def _require_pieces(directory: Directory, layout: Layout) -> None:
    """Raise an error if a TIFF lacks strips or tiles, or if their data are cut or damaged."""
    needs = _needs(directory, layout)
    offsets = directory.numbers(_STRIPS) or directory.numbers(_TILES)
    sizes = directory.numbers(_STRIP_SIZES) or directory.numbers(_TILE_SIZES)
    if not sizes and layout.compression == UNPACKED:
        sizes = needs
    tables = directory.content(_JPEG_TABLES)
    for offset, size, need in zip(offsets, sizes, needs, strict=True):
        if offset < 8 or size < (need if layout.compression == UNPACKED else 1):
            raise ValueError("one of its strips or tiles has no data, or too few")
        if offset + (need if layout.compression == UNPACKED else size) > len(directory.data):
            raise ValueError("one of its strips or tiles lies outside of the file")
        piece = directory.data[offset : offset + size]
        if layout.compression in DEFLATE:
            _require_checksum(piece, max(needs))
        if layout.compression == JPEG:
            whole = tables[:-2] + piece[2:] if tables else piece
            _require_whole_jpeg(whole, need, is_rgb=layout.photometric == RGB)


def _needs(directory: Directory, layout: Layout) -> tuple[int, ...]:
    """Return how many bytes each strip or tile must have when it is unpacked.

    Raises:
        ValueError: there are more or fewer of them than the image needs.
    """
    width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
    is_tiled = not directory.numbers(_STRIPS)
    across = directory.number(_TILE_WIDTH, 0) if is_tiled else width
    down = directory.number(_TILE_HEIGHT, 0) if is_tiled else directory.number(_ROWS, height)
    if is_tiled and (across % 16 or down % 16):
        raise ValueError(f"its tiles must have sides of a multiple of 16, got {across}×{down}")
    if across < 1 or down < 1:
        raise ValueError("its strips or tiles must have a size")
    planes, channels = (layout.samples, 1) if layout.is_planar else (1, layout.samples)
    columns, rows = ceil(width / across), ceil(height / down)
    for tags in ((_STRIPS, _TILES), (_STRIP_SIZES, _TILE_SIZES)):
        count = len(directory.numbers(tags[is_tiled]))
        is_unsaid = count == 0 and tags[0] == _STRIP_SIZES and layout.compression == UNPACKED
        if count != columns * rows * planes and not is_unsaid:
            raise ValueError(f"it must have {columns * rows * planes} strips or tiles, got {count}")
    row_bytes = ceil(across * channels * layout.depth / 8)
    heights = [down] * (rows - 1) + [down if is_tiled else height - (rows - 1) * down]
    return tuple(row_bytes * height for height in heights for _ in range(columns)) * planes


def _require_checksum(piece: bytes, most_bytes: int) -> None:
    """Raise an error if deflated data are damaged; libtiff does not look at their checksum."""
    inflating = zlib.decompressobj()
    inflating.decompress(piece, most_bytes + 1)
    if not inflating.eof:
        raise ValueError("the data of one of its strips or tiles go on behind its pixels")


def _require_whole_jpeg(data: bytes, most_bytes: int, *, is_rgb: bool) -> None:
    """Raise an error if a JPEG that a TIFF contains is damaged, or larger than its strip.

    And if it says itself that its three components are RGB, or that they are not, and the TIFF
    says otherwise: libtiff would not ask it.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if image.width * image.height > most_bytes or not isinstance(image, ImageFile.ImageFile):
            raise ValueError("one of its JPEGs is larger than its strip or tile")
        said = _says_rgb(image.info)
        if image.mode == "RGB" and said is not None and said != is_rgb:
            names = ("YCbCr", "RGB")
            raise ValueError(f"one of its JPEGs is {names[said]}, its tags say {names[is_rgb]}")
        jpeg.load(image, data)


def _says_rgb(info: Mapping[Any, Any]) -> bool | None:
    """Return whether a JPEG of three components says they are RGB; None if it says nothing.

    Args:
        info: its metadata as Pillow has them. JFIF is YCbCr always; Adobe's segment tells.
    """
    if "jfif" in info:
        return False
    return info["adobe_transform"] == 0 if "adobe_transform" in info else None
