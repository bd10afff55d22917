"""A decoded image: its pixels at the depth of its file, and what the file says beside them.

The child processes that decode images import this module, so it must not import torch.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""Pixels of an RGB image (h, w, 3). Whole numbers go from 0 to the largest of their type, whatever
the bits of the file were; floating-point ones are in [0, 1]."""

Alpha = Pixels
"""Opacity (h, w) of the pixels of an image, of their type; transparent is 0."""

Depth = np.dtype[Any]
"""Type of the numbers of pixels: uint8, uint16 or float32."""

EIGHT_BITS: Depth = np.dtype(np.uint8)

FileFormat = Literal["jpeg", "png", "webp", "tiff", "bmp", "avif", "heic", "jxl"]
"""Formats of image files that are read."""


class Metadata(NamedTuple):
    """What an image file says beside its pixels, and what goes along into every file made of it."""

    icc: bytes = b""
    """Colour profile; empty without one, where the colours are taken for sRGB."""
    exif: bytes = b""
    """Exif from its byte order on, with the orientation 1, as the pixels are turned already."""
    xmp: bytes = b""
    """XMP packet, with the orientation 1."""
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down."""


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """An image as it was decoded: upright, in RGB.

    A grey image has three equal channels here.
    """

    pixels: Pixels
    alpha: Alpha | None = None
    """None for an image that is opaque everywhere."""
    is_grey: bool = False
    """Whether the file has one channel of colour."""
    file_format: FileFormat = "png"
    bits: int = 8
    """Bits of a sample in the file; 32 for floating-point numbers."""
    metadata: Metadata = NO_METADATA
    remark: str = ""
    """Which parts of what the file says are left out, as a damaged profile, and why."""

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return len(self.pixels)

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def depth(self) -> Depth:
        """Type of the numbers of its pixels."""
        return self.pixels.dtype

    @property
    def kind(self) -> tuple[Any, ...]:
        """What images must have in common to be of one batch."""
        return self.pixels.shape, self.depth.str, self.is_grey, self.alpha is not None

    def showing(self, pixels: Pixels) -> "Raster":
        """Return the same image with other pixels; alpha and what the file says stay."""
        return replace(self, pixels=pixels)


def full_intensity(depth: Depth) -> float:
    """Return the number that stands for full intensity: the largest whole one, or 1."""
    return 1.0 if depth.kind == "f" else float(np.iinfo(depth).max)
