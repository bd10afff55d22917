"""The pixels of a BMP, in the colours that its palette has, where Pillow may drop the palette."""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tasks.io.images.formats.loaded import Loaded, of_pillow

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


def load(image: ImageFile.ImageFile, data: bytes) -> Loaded:
    """Return the pixels of an opened BMP.

    Raises:
        ValueError: a pixel has a colour that the palette has not.
        OSError: Pillow gives up.
    """
    (size,) = struct.unpack_from("<L", data, _HEADER)
    (bits,) = struct.unpack_from("<H", data, 24 if size == _OLD_HEADER else 28)
    if bits in _RAW_MODES:
        return of_pillow(_in_colours(_indices(image, data, bits), data, size, bits))
    alpha = None
    if bits == 16 and size >= _HEADER_WITH_ALPHA:
        alpha = _alpha(image, data)
    image.load()
    loaded = of_pillow(image)
    return loaded if alpha is None else loaded._replace(alpha=alpha)


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


def _alpha(image: ImageFile.ImageFile, data: bytes) -> NDArray[np.uint8] | None:
    """Return the alpha of pixels of 16 bits, which Pillow drops; None where there is none."""
    packing, mask = struct.unpack_from("<L32xL", data, 30)
    if packing != _MASKS or mask & 0xFFFF == 0:
        return None
    (tile,) = image.tile
    across = (image.width * 16 + 31) // 32 * 2
    pixels = np.frombuffer(data, "<u2", across * image.height, tile.offset)
    mask &= 0xFFFF
    lowest = (mask & -mask).bit_length() - 1
    levels = (pixels.reshape(-1, across)[:, : image.width] & mask) >> lowest
    most = mask >> lowest
    scaled = (levels.astype(np.uint32) * 255 + most // 2) // most
    alpha: NDArray[np.uint8] = scaled.astype(np.uint8)
    goes_down = struct.unpack_from("<l", data, 22)[0] < 0
    return alpha if goes_down else alpha[::-1]
