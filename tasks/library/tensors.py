"""A caller's tensors of images, enhanced as many at once as a device is expected to hold."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from dot_kernels.bands import is_large
from tasks.config.compute import Compute
from tasks.direct.operator_file import OperatorFile
from tasks.io.images import Raster
from tasks.io.shards.loader import most_together


def enhanced(
    file: OperatorFile, images: Tensor, alpha: float, draws: Sequence[torch.Generator]
) -> Tensor:
    """Return enhanced images (b, 3, h, w) in [0, 1], of the type and on the device of the given.

    Args:
        file: the operator.
        images: (b, 3, h, w) in [0, 1].
        alpha: 0 is the full transport, 1 the image as it came.
        draws: a generator for each image on the CPU; none for an operator that adds no noise.

    Raises:
        ValueError: the tensor is none of images, or they are smaller than a patch.
    """
    _require_images(images)
    height, width = images.shape[2:]
    make = _one_by_one if is_large(height, width, file.codec.tile) else _together
    return torch.cat([each.to(images) for each in make(file, images, alpha, draws)])


def _together(
    file: OperatorFile, images: Tensor, alpha: float, draws: Sequence[torch.Generator]
) -> Iterator[Tensor]:
    count, _, height, width = images.shape
    step = most_together(height * width, Compute().batch)
    for start in range(0, count, step):
        part = images[start : start + step].float().to(file.device)
        yield file.enhance(part, [alpha], draws[start : start + step])[0]


def _one_by_one(
    file: OperatorFile, images: Tensor, alpha: float, draws: Sequence[torch.Generator]
) -> Iterator[Tensor]:
    """Yield large images, each made in bands."""
    for place, image in enumerate(images):
        pixels = image.float().cpu().movedim(0, -1).contiguous().numpy()
        made = file.enhance_image(Raster(pixels=pixels), alpha, draws[place : place + 1])
        yield torch.from_numpy(np.ascontiguousarray(made)).movedim(-1, 0)[None]


def _require_images(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            "a tensor of images must be (b, 3, h, w) of floating-point numbers, got "
            f"{tuple(images.shape)} of {images.dtype}"
        )
    if not images.numel():
        raise ValueError(f"a tensor of images must hold some, got {tuple(images.shape)}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"a tensor of images must be in [0, 1], got {images.min():g} to {images.max():g}"
        )
