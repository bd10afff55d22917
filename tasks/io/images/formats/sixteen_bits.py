"""Samples of 16 bits, of which Pillow keeps the high byte alone."""

import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

Wide = NDArray[np.uint16]
"""Samples of an image, of 16 bits each: (h, w), or (h, w, c) of several channels."""

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The last letter of Pillow's name for an order of bytes, and that of the other order."""


def samples(image: ImageFile.ImageFile, data: bytes) -> Wide:
    """Return the samples (h, w, c) of an image file that Pillow has loaded with 8 bits.

    Their low bytes are what Pillow takes for the high ones when it is told the other order.
    """
    with Image.open(io.BytesIO(data), formats=[str(image.format)]) as other:
        if not isinstance(other, ImageFile.ImageFile):
            raise TypeError(f"an image must be of a file, got {type(other)}")
        other.tile = [tile._replace(args=_in_other_order(tile.args)) for tile in other.tile]
        wide = np.asarray(image).astype(np.uint16)
        wide <<= 8
        wide |= np.asarray(other)
    return wide


def _in_other_order(args: tuple[Any, ...] | str | None) -> tuple[Any, ...] | str:
    """Return the arguments of Pillow's decoder, with the raw mode of the other order of bytes."""
    if isinstance(args, str):
        return args[:-1] + _OTHER_ORDER[args[-1]]
    mode, *others = args or ("",)
    return (_in_other_order(mode), *others)
