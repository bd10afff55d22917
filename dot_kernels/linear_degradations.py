"""Chains of degradations that are linear but for white noise at their end.

Axes: h and w height and width of clean images, m and n pixels of an axis after and before.
"""

import math
from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.degradations import (
    Degradation,
    Downscale,
    GaussianBlur,
    Jpeg,
    Noise,
    blur_rows,
    reduce_sides,
)
from dot_kernels.spectral_degradations import (
    BlockMean,
    Identity,
    Separable,
    SpectralDegradation,
)

_ROUNDING = 1 / (255 * math.sqrt(12))
"""Standard deviation of what is lost by rounding to 8 bits, on the [0, 1] scale."""


def spectral_degradation(
    degradations: Sequence[Degradation], height: int, width: int
) -> SpectralDegradation:
    """What the degradations do to images of one size, but for noise and rounding.

    It is exactly what ``degrade`` does, borders included. Where ``Downscale`` rounds to
    8 bits, it also clips to [0, 1], which is not linear and not in here.

    Args:
        degradations: as for ``measurement_noise``, which has the rules.
        height: of the clean images, a multiple of the total downscaling.
        width: the same.

    Raises:
        ValueError: they are not linear, or noise comes before one of them.
    """
    measurement_noise(degradations)
    linear = [step for step in degradations if isinstance(step, Downscale | GaussianBlur)]
    match linear:
        case []:
            return Identity(height, width)
        case [Downscale(factor=factor, kernel="area")]:
            return BlockMean(factor, height, width)
        case _:
            down, across = (_axis_matrix(linear, length) for length in (height, width))
            return Separable(down, across)


def measurement_noise(degradations: Sequence[Degradation]) -> float:
    """The standard deviation of the white noise on a degraded image, on the [0, 1] scale.

    Rounding to 8 bits counts as noise of 1 / (255 √12).

    Raises:
        ValueError: there is JPEG compression among them, which is not linear, or noise or
            rounding before a downscaling or blur, which would not leave it white.
    """
    levels = list[float]()
    for step in degradations:
        match step:
            case Noise(sigma=sigma):
                levels.append(sigma)
            case Jpeg():
                raise ValueError("degradations must be linear, got jpeg")
            case _ if any(levels):
                raise ValueError(
                    f"{step.kind} must come before all noise and rounding, got it after them"
                )
            case Downscale(rounding=True):
                levels.append(_ROUNDING)
    return math.hypot(*levels)


def _axis_matrix(
    degradations: Sequence[Downscale | GaussianBlur], length: int
) -> Float64[Tensor, "m n"]:
    """The matrix by which either axis of a clean image, of this length, is multiplied."""

    def after(axis: Float64[Tensor, "1 m n"], step: Downscale | GaussianBlur) -> Tensor:
        if isinstance(step, Downscale):
            return reduce_sides(axis, step.kernel, (step.factor, 1))
        return blur_rows(axis, step)

    return reduce(after, degradations, torch.eye(length, dtype=torch.float64)[None])[0]
