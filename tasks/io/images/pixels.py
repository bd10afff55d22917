"""Pixels as arrays of 8 bits (h, w, 3), and as tensors (3, h, w) in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.io.images.files import Pixels


def to_tensor(pixels: Sequence[Pixels], device: str = "cpu") -> Tensor:
    """Return images of equal size as one float tensor (b, 3, h, w) in [0, 1]."""
    stacked = torch.stack([torch.from_numpy(image.copy()) for image in pixels])
    return stacked.to(device).movedim(-1, 1).float() / 255


def as_levels(pixels: Pixels) -> Tensor:
    """Return an image as a tensor (h, w, 3) of its 8 bits; a copy if it must not be written to."""
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())


def to_pixels(images: Tensor) -> Pixels:
    """Return an image (3, h, w) in [0, 1], or a batch, as an array (…, h, w, 3) of 8 bits."""
    pixels: Pixels = to_bytes(images).movedim(-3, -1).contiguous().numpy(force=True)
    return pixels


def to_bytes(images: Tensor) -> Tensor:
    """Return images in [0, 1] as uint8 of equal shape, rounded as they will be written."""
    return (images * 255).round_().clamp_(0, 255).byte()


def as_written(images: Tensor) -> Tensor:
    """Return images in [0, 1] as a reader of the written ones has them: 8 bits, in [0, 1]."""
    return to_bytes(images).to(images.dtype) / 255


def finite(images: Tensor) -> Tensor:
    """Return for each image of a batch (b, …) whether all its values are finite: (b,) bool."""
    return torch.isfinite(images).flatten(1).all(dim=1)
