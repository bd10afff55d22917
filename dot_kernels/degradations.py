"""Degradations of clean images, to make the inputs of restorers.

Axes: h and w image height and width, h2 and w2 those after downscaling. Images are
float (3, h, w) in [0, 1]. Noise may leave this range: it is not clipped, because
denoisers are trained on unclipped noise.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """White Gaussian noise; ``sigma`` is its standard deviation on the [0, 1] scale."""

    kind: Literal["noise"] = "noise"
    sigma: float

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 10:
            raise ValueError(f"sigma must be in [0, 10] on the [0, 1] scale, got {self.sigma}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Downscale:
    """Bicubic downscaling with anti-aliasing; both sides are divided by ``factor``."""

    kind: Literal["downscale"] = "downscale"
    factor: int

    def __post_init__(self) -> None:
        if not 2 <= self.factor <= 16:
            raise ValueError(f"downscale factor must be in 2..16, got {self.factor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """JPEG compression and decompression; ``quality`` is libjpeg's, 1 to 100."""

    kind: Literal["jpeg"] = "jpeg"
    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"JPEG quality must be in 1..100, got {self.quality}")


Degradation = Noise | Downscale | Jpeg


def degrade(
    image: Float[Tensor, "3 h w"],
    degradations: Sequence[Degradation],
    generator: torch.Generator,
) -> Float[Tensor, "3 h2 w2"]:
    """The image after all degradations, applied in their order.

    Args:
        image: in [0, 1], on the CPU; its sides must be multiples of the total downscaling.
        degradations: none leaves the image as it is.
        generator: draws the noise; on the CPU.

    Raises:
        ValueError: a side is no multiple of a downscaling factor.
        TypeError: a member of ``degradations`` is not a degradation.
    """
    for degradation in degradations:
        match degradation:
            case Noise(sigma=sigma):
                image = image + sigma * torch.randn(image.shape, generator=generator)
            case Downscale(factor=factor):
                image = _downscale(image, factor)
            case Jpeg(quality=quality):
                image = _compress(image, quality)
            case _:
                raise TypeError(
                    f"degradation must be Noise, Downscale or Jpeg, got {degradation!r}"
                )
    return image


def total_downscaling(degradations: Sequence[Degradation]) -> int:
    """A side of a clean image, divided by that side of its degraded version."""
    total = 1
    for degradation in degradations:
        if isinstance(degradation, Downscale):
            total *= degradation.factor
    return total


def _downscale(image: Float[Tensor, "3 h w"], factor: int) -> Float[Tensor, "3 h2 w2"]:
    height, width = image.shape[1:]
    if height % factor or width % factor:
        raise ValueError(f"sides must be multiples of {factor}, got {height}×{width}")
    size = (height // factor, width // factor)
    return functional.interpolate(image[None], size, mode="bicubic", antialias=True)[0]


def _compress(image: Float[Tensor, "3 h w"], quality: int) -> Float[Tensor, "3 h w"]:
    pixels = (image * 255).round().clamp(0, 255).byte().movedim(0, -1)
    coded = io.BytesIO()
    Image.fromarray(pixels.numpy(force=True)).save(coded, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(coded)))
    return decoded.movedim(-1, 0).float() / 255
