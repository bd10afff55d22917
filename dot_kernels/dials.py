"""Two dials in place of one alpha: coarse structure moves less far than texture.

Axes: b images, h and w image height and width.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.degradations import GaussianBlur, blur
from dot_kernels.enhancement import Transported


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBand:
    """What the low frequencies of an image do of what its high frequencies do.

    At every alpha 1 − alpha_low = ``share`` · (1 − alpha_high).
    """

    share: float
    """0: low frequencies stay those of the restored image; 1: both move alike, as by one dial."""
    sigma: float
    """Standard deviation of the Gaussian low-pass, in image pixels."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.share):
            raise ValueError(f"share of the low band must be finite, got {self.share}")
        self.low_pass()

    def low_pass(self) -> GaussianBlur:
        """The low-pass L: weights up to three standard deviations, borders by reflection."""
        return GaussianBlur(size=2 * math.ceil(3 * self.sigma) + 1, sigma=self.sigma)

    def of(self, direction: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The direction r of images whose low band moves by its share: r − (1 − share) L r."""
        low_pass = self.low_pass()
        low = torch.stack([blur(each, low_pass) for each in direction])
        return direction - (1 - self.share) * low


def with_low_band(transported: Transported, band: LowBand) -> Transported:
    """The same images with two dials, of which alpha is the one of high frequencies.

    ``at(alpha)`` is then x + (1 − alpha_low) L r + (1 − alpha)(r − L r) with the former direction r
    and alpha_low = 1 − share · (1 − alpha): still a line in alpha.

    Args:
        transported: with image interpolation.
        band: the low band, and its share.

    Raises:
        ValueError: the images are interpolated as latents, so there is no direction.
    """
    direction = transported.direction()
    if direction is None or transported.mapped_images is None:
        raise ValueError(
            "two dials must be of images that are interpolated as images, got latent interpolation"
        )
    base = transported.mapped_images - direction
    return dataclasses.replace(transported, mapped_images=base + band.of(direction))
