"""Pixels as arrays of 8 bits, and as tensors in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tasks.io.images.files import Pixels


def to_tensor(pixels: Sequence[Pixels], device: str = "cpu") -> Tensor:
    """Images as one float tensor (b, 3, h, w) in [0, 1]."""
    stacked = torch.stack([torch.from_numpy(image.copy()) for image in pixels])
    return stacked.to(device).movedim(-1, 1).float() / 255


def to_pixels(image: Tensor) -> Pixels:
    """One image (3, h, w) in [0, 1], rounded to 8 bits."""
    pixels: Pixels = to_bytes(image).movedim(0, -1).contiguous().numpy(force=True)
    return pixels


def to_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] rounded to 8 bits, as they will be written."""
    return (images * 255).round_().clamp_(0, 255).byte()


def finite(images: Tensor) -> Tensor:
    """For each image of a batch, whether all of it is a number."""
    return torch.isfinite(images).flatten(1).all(dim=1)
