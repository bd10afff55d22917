"""Degradations of clean images, to make the inputs of restorers.

Axes: h and w image height and width, h2 and w2 those of the degraded image. Images are
float (3, h, w) in [0, 1]. Noise may leave this range: it is not clipped, because
denoisers are trained on unclipped noise. So may bicubic downscaling without rounding.
"""

import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from dot_kernels.padding import reflected


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """White Gaussian noise; ``sigma`` is its standard deviation on the [0, 1] scale.

    ``seed`` and the generator of the image draw it together; another seed, other noise.
    """

    kind: Literal["noise"] = "noise"
    sigma: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 10:
            raise ValueError(f"sigma must be in [0, 10] on the [0, 1] scale, got {self.sigma}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Downscale:
    """Downscaling with anti-aliasing; both sides are divided by ``factor``.

    ``kernel``: bicubic and bilinear interpolation, widened by the factor as in Pillow's
    ``resize`` and torch's ``interpolate(antialias=True)``, or area, the mean of each
    square of factor × factor pixels. ``rounding``: whether the small image is clipped to
    [0, 1] and rounded to 8 bits, as it would be in a file.
    """

    kind: Literal["downscale"] = "downscale"
    factor: int
    kernel: Literal["bicubic", "bilinear", "area"] = "bicubic"
    rounding: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.factor <= 16:
            raise ValueError(f"downscale factor must be in 2..16, got {self.factor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianBlur:
    """Convolution with a Gaussian of ``size`` × ``size`` weights whose sum is 1.

    ``sigma`` is its standard deviation in pixels. Borders are continued by reflection
    about the outermost pixels where ``size`` is odd. An even one has no middle pixel: borders
    are left out, and those averages remain that have all of their pixels in the image.
    ``stride``: every stride-th row and column is kept, the first of each included. A side of
    n pixels becomes one of n / stride, or, of even size, of (n - size) / stride + 1.
    """

    kind: Literal["gaussian-blur"] = "gaussian-blur"
    size: int
    sigma: float
    stride: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 256:
            raise ValueError(f"size of a Gaussian blur must be in 1..256 pixels, got {self.size}")
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma of a Gaussian blur must be above 0 pixels, got {self.sigma}")
        if not 1 <= self.stride <= 16:
            raise ValueError(f"stride of a Gaussian blur must be in 1..16, got {self.stride}")

    @property
    def has_borders(self) -> bool:
        """Whether borders are continued, so that without a stride an image keeps its size."""
        return self.size % 2 == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Jpeg:
    """JPEG compression and decompression; ``quality`` is libjpeg's, 1 to 100."""

    kind: Literal["jpeg"] = "jpeg"
    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"JPEG quality must be in 1..100, got {self.quality}")


Degradation = Noise | Downscale | GaussianBlur | Jpeg


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
        ValueError: a side is no multiple of a downscaling factor or a stride.
        TypeError: a member of ``degradations`` is not a degradation.
    """
    for degradation in degradations:
        match degradation:
            case Noise():
                image = image + _drawn(degradation, image.shape, generator)
            case Downscale():
                image = _downscale(image, degradation)
            case GaussianBlur():
                image = blur(image, degradation)
            case Jpeg(quality=quality):
                image = _compress(image, quality)
            case _:
                raise TypeError(
                    "degradation must be Noise, Downscale, GaussianBlur or Jpeg, "
                    f"got {degradation!r}"
                )
    return image


def blur(image: Float[Tensor, "3 h w"], gaussian_blur: GaussianBlur) -> Float[Tensor, "3 h2 w2"]:
    """The image after a Gaussian blur; borders are reflected as often as the size asks for.

    Raises:
        ValueError: a side is no multiple of the stride or, of even size, not such a multiple
            longer than the size.
    """
    _require_strides(image, gaussian_blur)
    return blur_rows(blur_rows(image, gaussian_blur).mT, gaussian_blur).mT


def blur_rows(
    image: Float[Tensor, "c h w"], gaussian_blur: GaussianBlur
) -> Float[Tensor, "c h2 w"]:
    """Weighted averages of neighbouring rows, for every stride-th row: half of a blur."""
    if gaussian_blur.has_borders:
        image = image[:, reflected(image.shape[1], gaussian_blur.size // 2)]
    return blur_inner_rows(image, gaussian_blur)


def blur_inner_rows(
    image: Float[Tensor, "c h w"], gaussian_blur: GaussianBlur
) -> Float[Tensor, "c h2 w"]:
    """The same of those rows alone all of whose neighbours are in the image.

    Row by row, which takes a third of the time of a convolution of so few channels.
    """
    size, sigma, stride = gaussian_blur.size, gaussian_blur.sigma, gaussian_blur.stride
    distances = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-0.5 * (distances / sigma) ** 2)
    weights = weights / weights.sum()
    height = image.shape[1] - size + 1
    total = weights[0].item() * image[:, 0:height:stride]
    weighted = torch.empty_like(total)
    for k in range(1, size):
        total += torch.mul(image[:, k : k + height : stride], weights[k].item(), out=weighted)
    return total


def _drawn(noise: Noise, shape: torch.Size, generator: torch.Generator) -> Float[Tensor, "3 h w"]:
    """Noise for an image.

    Seed 0 draws it from the generator itself, any other from one that the generator and
    the seed make together; so two noises of one chain are independent, equal seeds or not.
    """
    if noise.seed != 0:
        start = int(torch.randint(1 << 62, (), generator=generator))
        digest = hashlib.sha256(f"{start}\0{noise.seed}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return noise.sigma * torch.randn(shape, generator=generator)


def _downscale(image: Float[Tensor, "3 h w"], step: Downscale) -> Float[Tensor, "3 h2 w2"]:
    _require_multiples(image, step.factor)
    reduced = reduce_sides(image, step.kernel, (step.factor, step.factor))
    return _levels(reduced) / 255 if step.rounding else reduced


def reduce_sides(
    image: Float[Tensor, "c h w"],
    kernel: Literal["bicubic", "bilinear", "area"],
    factors: tuple[int, int],
) -> Float[Tensor, "c h2 w2"]:
    """The image downscaled by a kernel of ``Downscale``: height and width by their factors."""
    if kernel == "area":
        return functional.avg_pool2d(image, factors)
    size = (image.shape[1] // factors[0], image.shape[2] // factors[1])
    return functional.interpolate(image[None], size, mode=kernel, antialias=True)[0]


def _compress(image: Float[Tensor, "3 h w"], quality: int) -> Float[Tensor, "3 h w"]:
    pixels = _levels(image).byte().movedim(0, -1)
    coded = io.BytesIO()
    Image.fromarray(pixels.numpy(force=True)).save(coded, "JPEG", quality=quality)
    decoded = torch.from_numpy(np.array(Image.open(coded)))
    return decoded.movedim(-1, 0).float() / 255


def _levels(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """The image in whole numbers from 0 to 255, as 8 bits hold it."""
    return (image * 255).round().clamp(0, 255)


def _require_multiples(image: Float[Tensor, "3 h w"], divisor: int) -> None:
    height, width = image.shape[1:]
    if height % divisor or width % divisor:
        raise ValueError(f"sides must be multiples of {divisor}, got {height}×{width}")


def _require_strides(image: Float[Tensor, "3 h w"], step: GaussianBlur) -> None:
    if step.has_borders:
        _require_multiples(image, step.stride)
    elif any(n < step.size or (n - step.size) % step.stride for n in image.shape[1:]):
        height, width = image.shape[1:]
        raise ValueError(
            f"sides must be {step.size} or longer by multiples of {step.stride}, got "
            f"{height}×{width}"
        )
