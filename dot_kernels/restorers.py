"""Restorers: functions from a degraded image and its degradations to a restored image.

Axes: b images, h and w height and width of a degraded image, H and W of the restored one.
"""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from dot_kernels.ddrm import DdrmOptions, EpsilonModel, draw_restored
from dot_kernels.degradations import (
    Degradation,
    GaussianBlur,
    Noise,
    blur,
)
from dot_kernels.linear_degradations import measurement_noise, spectral_degradation
from dot_kernels.patch_prior import PatchPriorOptions, restore_by_patches
from dot_kernels.sampling import SamplingGrid, sampling_grid, sides_before


@runtime_checkable
class Restorer(Protocol):
    """A function that undoes known degradations, downscaling included."""

    def __call__(
        self, degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
    ) -> Float[Tensor, "3 H W"]:
        """The restored image in [0, 1], as large as before the degradations.

        Args:
            degraded: the degraded image; noise may leave [0, 1].
            degradations: what the image went through, in order.
        """


def bicubic(
    degraded: Float[Tensor, "3 h w"], degradations: Sequence[Degradation]
) -> Float[Tensor, "3 H W"]:
    """The image in [0, 1], interpolated to its size before the degradations.

    Only downscaling and strides are undone; noise, blur and artefacts of compression stay.
    Borders that a blur has left out are continued from the outermost pixels.
    """
    grid = sampling_grid(degradations)
    height, width = sides_before(degradations, (degraded.shape[1], degraded.shape[2]))
    if grid.first == (grid.spacing - 1) / 2:  # pixels in the middle of those they stand for
        size = (height, width)
        upscaled = functional.interpolate(degraded[None], size, mode="bicubic", antialias=True)[0]
    else:
        upscaled = _interpolate(_interpolate(degraded, grid, width).mT, grid, height).mT
    return upscaled.clamp(0, 1)


def smooth(
    degraded: Float[Tensor, "3 h w"],
    degradations: Sequence[Degradation],
    *,
    size: int,
    sigma: float,
) -> Float[Tensor, "3 H W"]:
    """The image in [0, 1] after a Gaussian blur, then interpolated as by ``bicubic``.

    A denoiser without weights: it averages noise, and detail with it.

    Args:
        degraded: the degraded image; noise may leave [0, 1].
        degradations: what the image went through, in order.
        size: weights of the Gaussian along an axis; odd.
        sigma: its standard deviation in pixels of the degraded image.

    Raises:
        ValueError: ``size`` or ``sigma`` is out of range, or ``size`` even.
    """
    gaussian_blur = GaussianBlur(size=size, sigma=sigma)
    if not gaussian_blur.has_borders:
        raise ValueError(f"size of the Gaussian that smooths must be odd, got {size}")
    return bicubic(blur(degraded, gaussian_blur), degradations)


def draw_by_ddrm(
    degraded: Float[Tensor, "b 3 h w"],
    degradations: Sequence[Degradation],
    *,
    model: EpsilonModel,
    options: DdrmOptions,
    generators: Sequence[torch.Generator],
) -> Float[Tensor, "b 3 H W"]:
    """Images in [0, 1] drawn by a diffusion model, as large as before the degradations.

    Args:
        degraded: degraded images of one size, on the device of the model; noise may leave
            [0, 1].
        degradations: what the images went through, in order.
        model: predicts noise in images on the scale [−1, 1].
        options: how images are drawn.
        generators: one for each image, on the CPU, which draws all of its noise.

    Raises:
        ValueError: the degradations are not linear, or noise is not their end; or as
            ``draw_restored`` says.
    """
    height, width = sides_before(degradations, (degraded.shape[2], degraded.shape[3]))
    drawn = draw_restored(
        2 * degraded - 1,  # all linear degradations leave a constant as it is
        spectral_degradation(degradations, height, width),
        2 * measurement_noise(degradations),
        model=model,
        options=options,
        generators=generators,
    )
    return ((drawn + 1) / 2).clamp(0, 1)


def restore_by_patch_prior(
    degraded: Float[Tensor, "3 h w"],
    degradations: Sequence[Degradation],
    *,
    reference: Float[Tensor, "3 _ _"],
    options: PatchPriorOptions,
    generator: torch.Generator,
) -> Float[Tensor, "3 H W"]:
    """The image in [0, 1] that fits a degraded one and has the patches of a reference.

    The descent begins at what ``bicubic`` makes.

    Args:
        degraded: the degraded image; noise may leave [0, 1].
        degradations: what the image went through, in order.
        reference: an image in [0, 1] of any size, on the device of ``degraded``.
        options: how it is restored.
        generator: draws patches of the reference; on the CPU.

    Raises:
        ValueError: the degradations are not linear, or noise is not their end; or as
            ``restore_by_patches`` says.
    """
    start = bicubic(degraded, degradations)
    return restore_by_patches(
        degraded,
        spectral_degradation(degradations, *start.shape[1:]),
        measurement_noise(degradations),
        reference=reference,
        start=start,
        options=options,
        generator=generator,
    ).image


def noise_level(degradations: Sequence[Degradation]) -> float:
    """The standard deviation of all noise that was added, together, on the [0, 1] scale."""
    return math.hypot(*(step.sigma for step in degradations if isinstance(step, Noise)))


def _interpolate(
    image: Float[Tensor, "3 h w"], grid: SamplingGrid, wanted: int
) -> Float[Tensor, "3 h W"]:
    """Bicubic interpolation along the width of an image whose pixels lie on a grid.

    At the borders, what lies outside has no weight, as in torch's and Pillow's. Further out
    than 15/16 of a pixel, everything is as it is there.
    """
    width = image.shape[2]
    clean = torch.arange(wanted, dtype=torch.float64)
    positions = (clean - grid.first) / grid.spacing  # in pixels of the image
    positions = positions.clamp(-15 / 16, width - 1 / 16)
    neighbours = positions.floor()[:, None] + torch.arange(-1, 3)  # (W, 4)
    weights = _cubic(positions[:, None] - neighbours)
    weights = weights * ((neighbours >= 0) & (neighbours < width))
    weights = (weights / weights.sum(1, keepdim=True)).to(image)
    indices = neighbours.clamp(0, width - 1).long().to(image.device)
    restored = image[:, :, indices[:, 0]] * weights[:, 0]
    for k in range(1, 4):  # one neighbour after the other, to hold three images and not eight
        restored = restored + image[:, :, indices[:, k]] * weights[:, k]
    return restored


def _cubic(distances: Float64[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
    """The interpolation kernel of Keys (1981) with a = −1/2, 0 beyond a distance of 2."""
    x = distances.abs()
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
