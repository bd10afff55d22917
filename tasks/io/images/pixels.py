"""Pixels as arrays (h, w, 3) of several depths, and as tensors (3, h, w) in [0, 1]."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tasks.io.images.raster import EIGHT_BITS, Depth, Pixels, full_intensity

_WHOLE = {np.dtype(np.uint8): torch.uint8, np.dtype(np.uint16): torch.uint16}


def to_tensor(pixels: Sequence[Pixels], device: str = "cpu") -> Tensor:
    """Return images of one size and type as one float tensor (b, 3, h, w) in [0, 1]."""
    stacked = torch.stack([torch.from_numpy(image.copy()) for image in pixels])
    return stacked.to(device).movedim(-1, 1).float() / full_intensity(pixels[0].dtype)


def bands_of(pixels: Pixels, rows: int, device: str = "cpu") -> Iterator[Tensor]:
    """Yield a large image from top to bottom in bands (1, 3, r, w) in [0, 1] of so many rows."""
    for top in range(0, len(pixels), rows):
        yield to_tensor([pixels[top : top + rows]], device)


def as_levels(pixels: Pixels) -> Tensor:
    """Return an image as a tensor (h, w, 3) of its own type; a copy if it must not be written to.

    Its numbers are those of the array: whole ones are not divided.
    """
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def to_pixels(images: Tensor, depth: Depth = EIGHT_BITS) -> Pixels:
    """Return an image (3, h, w) in [0, 1], or a batch, as an array (…, h, w, 3) of a type.

    Whole numbers are rounded; floating-point ones are not, and none is clipped.
    """
    levels = images if depth.kind == "f" else _rounded(images, depth)
    pixels: Pixels = levels.movedim(-3, -1).contiguous().numpy(force=True)
    return pixels


def to_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as uint8 of equal shape, rounded as they will be written."""
    return _rounded(images, EIGHT_BITS)


def as_written(images: Tensor, depth: Depth = EIGHT_BITS) -> Tensor:
    """Return images in [0, 1] as a reader of the written ones has them: rounded to a type."""
    if depth.kind == "f":
        return images
    return _rounded(images, depth).to(images.dtype) / full_intensity(depth)


def _rounded(images: Tensor, depth: Depth) -> Tensor:
    most = full_intensity(depth)
    return (images * most).round_().clamp_(0, most).to(_WHOLE[depth])


def levels_of(depth: Depth) -> int:
    """Return the whole number to which 1 is rounded in a type; 2²⁴ for float32's own digits."""
    return 1 << 24 if depth.kind == "f" else int(np.iinfo(depth).max)


def finite(images: Tensor) -> Tensor:
    """Return for each image of a batch (b, …) whether all its values are finite: (b,) bool."""
    return torch.isfinite(images).flatten(1).all(dim=1)
