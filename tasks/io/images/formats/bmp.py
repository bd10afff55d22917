"""The pixels of a BMP, which must have the colours that its palette has."""

import struct

import numpy as np
from PIL import Image, ImageFile

_OLD_HEADER = 12
"""Size of the header of OS/2, which does not say how many colours there are."""


def load(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Return the pixels of an opened BMP.

    Raises:
        ValueError: a pixel has a colour that the palette has not.
        OSError: Pillow gives up.
    """
    image.load()
    if image.mode == "P" and np.asarray(image).max() >= _colours(data):
        raise ValueError("a pixel has a colour that its palette has not")
    return image


def _colours(data: bytes) -> int:
    """Return the number of colours of the palette, all that the bits of a pixel allow or fewer."""
    (header,) = struct.unpack_from("<L", data, 14)
    if header == _OLD_HEADER:
        return 1 << int(struct.unpack_from("<H", data, 24)[0])
    bits, colours = struct.unpack_from("<H16xL", data, 28)
    return int(colours) or 1 << int(bits)
