"""The pixels of a BMP, in the colours that its palette has, where Pillow may drop the palette."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tasks.io.errors import ImageRefused

_HEADER = 14
"""Where the header begins whose first number is its size."""

_OLD_HEADER = 12
"""Size of the header of OS/2, which does not say how many colours there are."""

_HEADER_WITH_ALPHA = 56
"""Size of the smallest header that has a mask for alpha."""

_RAW_MODES = {1: "P;1", 4: "P;4", 8: "P"}
"""Pillow's names for indices of a palette, by their bits."""

_MASKS = 3
"""The way of packing in which masks say which bits are which colour."""


def load(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Return the pixels of an opened BMP.

    Raises:
        ValueError: a pixel has a colour that the palette has not.
        ImageRefused: some pixels of 16 bits are transparent.
        OSError: Pillow gives up.
    """
    (size,) = struct.unpack_from("<L", data, _HEADER)
    (bits,) = struct.unpack_from("<H", data, 24 if size == _OLD_HEADER else 28)
    if bits in _RAW_MODES:
        return _in_colours(_indices(image, data, bits), data, size, bits)
    if bits == 16 and size >= _HEADER_WITH_ALPHA:
        _require_opaque(image, data)
    image.load()
    return image


def _indices(image: ImageFile.ImageFile, data: bytes, bits: int) -> NDArray[np.uint8]:
    """Return each pixel's index of the palette.

    Pillow takes palettes that begin as levels of grey do for such levels, of 8 bits or of one,
    whatever a pixel has. And it counts pairs of packed bytes from the beginning of the file,
    rather than of the pixels.
    """
    (tile,) = image.tile
    _, *others = tile.args if isinstance(tile.args, tuple) else ()
    image._mode = "P"
    image.fp = io.BytesIO(data[tile.offset :])
    image.tile = [tile._replace(offset=0, args=(_RAW_MODES[bits], *others))]
    image.load()
    return np.asarray(image)


def _in_colours(indices: NDArray[np.uint8], data: bytes, size: int, bits: int) -> Image.Image:
    """Return what a palette's indices show."""
    if size == _OLD_HEADER:
        count, room = 1 << bits, 3
    else:
        (said,) = struct.unpack_from("<L", data, 46)
        count, room = said or 1 << bits, 4
    if indices.max() >= count:
        raise ValueError("a pixel has a colour that its palette has not")
    count = int(indices.max()) + 1
    colours = np.frombuffer(data, np.uint8, count * room, _HEADER + size).reshape(count, room)
    return Image.fromarray(colours[indices][..., 2::-1])


def _require_opaque(image: ImageFile.ImageFile, data: bytes) -> None:
    """Raise ImageRefused if the bits of alpha, which Pillow drops, are not set in all pixels."""
    packing, alpha = struct.unpack_from("<L32xL", data, 30)
    if packing != _MASKS or alpha == 0:
        return
    (tile,) = image.tile
    across = (image.width * 16 + 31) // 32 * 2
    pixels = np.frombuffer(data, "<u2", across * image.height, tile.offset)
    if (~pixels.reshape(-1, across)[:, : image.width] & alpha).any():
        raise ImageRefused("transparent; flatten it onto a background first")
