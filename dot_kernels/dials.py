"""Two dials in place of one alpha: coarse structure moves less far than texture.

Axes: b images, h and w image height and width, c channels; a band of rows has r.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.degradations import GaussianBlur, blur_inner_rows, blur_rows
from dot_kernels.enhancement import Transported
from dot_kernels.padding import reflected

WIDEST = 42.0
"""Standard deviation above which a low-pass would have more than 255 weights a side, in pixels."""


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

    def low(self, direction: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """The low band L r of the direction r of images; no share is taken of it."""
        rows = reflected(direction.shape[2], self.low_pass().size // 2)
        return self._low_of_inner_rows(direction[:, :, rows])

    def of(
        self, direction: Float[Tensor, "b 3 h w"], low: Float[Tensor, "b 3 h w"] | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """The direction r of images whose low band moves by its share: r − (1 − share) L r.

        Args:
            direction: r.
            low: L r, if it is known.
        """
        return direction - (1 - self.share) * (self.low(direction) if low is None else low)

    def low_in_bands(
        self, bands: Iterable[Sequence[Float[Tensor, "1 c _ w"]]], height: int
    ) -> Iterator[tuple[Float[Tensor, "1 c r w"], ...]]:
        """The low band of a direction that comes in bands of rows, with what comes beside it.

        It has the bits of ``low``. A row is known as soon as the rows below it have come as far
        as the low-pass reaches, so what goes out has other heights than what came in.

        Args:
            bands: from top to bottom, the same rows of each: of a direction r, and of any others.
            height: of the whole image.

        Yields:
            the same rows of each: of L r, r, and the others.
        """
        reach, top, done = self.low_pass().size // 2, 0, 0
        rows = reflected(height, reach)
        held = tuple[Tensor, ...]()
        for strip in _strips(bands):
            held = tuple(map(_below, held, strip)) if held else strip
            bottom = top + held[0].shape[2]
            ready = height if bottom == height else bottom - reach
            if ready <= done:
                continue
            around = rows[done : ready + 2 * reach] - top
            low = self._low_of_inner_rows(held[0][:, :, around])
            yield low, *(each[:, :, done - top : ready - top] for each in held)
            done, first = ready, max(ready - reach, 0)
            held, top = tuple(each[:, :, first - top :] for each in held), first

    def _low_of_inner_rows(self, direction: Float[Tensor, "b 3 _ w"]) -> Float[Tensor, "b 3 r w"]:
        """The low band of those rows all of whose neighbours are there."""
        down = blur_inner_rows(direction.flatten(0, 1), self.low_pass())
        across = blur_rows(down.mT.contiguous(), self.low_pass()).mT
        return across.reshape(*direction.shape[:2], *across.shape[1:])


LOW_KEPT = LowBand(share=0.0, sigma=1.5)
"""Low frequencies as they came: what measured best, and what the pipeline does by default."""


def with_low_band(
    transported: Transported,
    band: LowBand | None,
    low: Float[Tensor, "b 3 h w"] | None = None,
) -> Transported:
    """The same images with two dials, of which alpha is the one of high frequencies.

    ``at(alpha)`` is then x + (1 − alpha_low) L r + (1 − alpha)(r − L r) with the former direction r
    and alpha_low = 1 − share · (1 − alpha): still a line in alpha. Of several rounds L is of the
    last one's direction, as those before have kept their low frequencies already.

    Args:
        transported: with image interpolation.
        band: the low band, and its share; None leaves one dial.
        low: L r, if it is known, as it must be where the images are bands of a larger one.

    Raises:
        ValueError: the images are interpolated as latents, so there is no direction.
    """
    if band is None:
        return transported
    direction, last = transported.direction(), transported.last_direction()
    if direction is None or last is None or transported.mapped_images is None:
        raise ValueError(
            "two dials must be of images that are interpolated as images, got latent interpolation"
        )
    base = transported.images if transported.codec_images is None else transported.codec_images
    low = band.low(last) if low is None else low
    return dataclasses.replace(transported, mapped_images=base + band.of(direction, low))


_STRIP_PIXELS = 1 << 20


def _strips(
    bands: Iterable[Sequence[Float[Tensor, "1 c _ w"]]],
) -> Iterator[tuple[Float[Tensor, "1 c r w"], ...]]:
    """The same rows, fewer at a time: what is held and computed of them at once is little."""
    for band in bands:
        rows = max(_STRIP_PIXELS // band[0].shape[3], 1)
        yield from zip(*(torch.split(each, rows, dim=2) for each in band), strict=True)


def _below(above: Tensor, band: Tensor) -> Tensor:
    return torch.cat([above, band], dim=2)
