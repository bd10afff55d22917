"""Restoration by a patch prior: images whose patches are cheap to move to those of a reference.

The restored image x is where

    λ mean (Hx − y)² + Σ over levels of T(patches of x, patches of the reference) / d

is least, with the linear degradation H and the degraded image y. T is entropic optimal transport
(``sinkhorn``) with a cost summed over the d values of a patch: balanced, or semi-unbalanced, which
lets parts of the reference go unused (Mignon et al. 2023); or without entropy, as in Hertrich et
al. 2022 (``semi_dual``). Levels are those of a Gaussian pyramid. Both terms are means over pixels,
so that λ does not depend on the size of the image.

Axes: c channels, h and w height and width of the restored image, h2 and w2 of the degraded one,
h3 and w3 of the reference. Images are on the [0, 1] scale.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.patch_levels import PatchCost, moved_level
from dot_kernels.patch_pyramids import drawn_patches, pyramid, pyramid_adjoint
from dot_kernels.spectral_degradations import SpectralDegradation

_LEAST_NOISE = 1 / (255 * math.sqrt(12))
"""The residual that is aimed at where there is less noise: what rounding to 8 bits leaves."""

_WINDOW = 20
"""Steps whose mean value is compared with that of as many before."""

_RATES = 3
"""Rates of a descent; each is a third of the one before."""

_GAIN = 0.1
"""How far log λ goes in a step, in units of the logarithm of the squared residual."""

_CLOSE = 0.1
"""Where the logarithm of the squared residual is as good as at its target."""

_MEMORY = (0.9, 0.99)
"""Adam's averages of gradients and of their squares: shorter than usual, as λ changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPriorOptions:
    """How an image is restored by the patches of a reference.

    ``cost``: which transport is to be cheap. ``levels``: of the pyramid, as far as they are not
    smaller than a patch. ``steps``: of the descent, at most. ``rate``: Adam's at the beginning,
    on the [0, 1] scale. ``weight``: λ, or None for the one that leaves a residual as strong as
    the noise (the discrepancy principle). ``tolerance``: relative change over twenty steps that
    counts as none, of λ times the squared residual plus the squared distance of patches from
    what they are moved to.
    """

    cost: PatchCost = field(default_factory=PatchCost)
    levels: int = 2
    steps: int = 300
    rate: float = 0.02
    weight: float | None = None
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        for name in ("levels", "steps"):
            if (count := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        for name in ("rate", "weight", "tolerance"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")


class PatchRestoration(NamedTuple):
    """An image restored by a patch prior, and how its descent ended."""

    image: Float[Tensor, "c h w"]
    """In [0, 1]."""
    steps: int
    """Steps that were taken."""
    residual: float
    """Root mean square of Hx − y before the last of them."""
    weight: float
    """λ in it."""
    distance: float
    """Mean squared distance of its patches from what they are moved to, summed over levels."""


def restore_by_patches(
    degraded: Float[Tensor, "c h2 w2"],
    degradation: SpectralDegradation,
    noise: float,
    *,
    reference: Float[Tensor, "c h3 w3"],
    start: Float[Tensor, "c h w"],
    options: PatchPriorOptions,
    generator: torch.Generator,
) -> PatchRestoration:
    """The image that fits a degraded one and has patches as the reference has.

    Levels keep their potentials from step to step of Adam, and draw other patches in each.

    Args:
        degraded: y = Hx + noise.
        degradation: H, for the size of ``start``.
        noise: standard deviation of the noise; below what rounding to 8 bits leaves, that counts.
        reference: an image of any size, on the device of ``degraded``, as is ``start``.
        start: where the descent begins, as an interpolation of ``degraded``.
        options: how it is done.
        generator: draws the patches of the reference; on the CPU.

    Raises:
        ValueError: image or reference are smaller than a patch, or differ in channels.
    """
    prior = _Prior(options, _levels(start, reference, options), generator)
    image, weight, target = start, options.weight or 1.0, max(noise, _LEAST_NOISE)
    descent = _Descent(options.rate, options.tolerance)
    for step in range(1, options.steps + 1):
        difference = degradation.degrade(image[None]) - degraded
        square = float(difference.square().mean())
        distance, gradient = prior.at(image)
        pull = degradation.adjoint(2 * weight / difference.numel() * difference)[0]
        image = image - descent.step(gradient + pull)
        excess = 0.0 if options.weight else math.log(max(square, 1e-12) / target**2)
        if descent.ends(distance + weight * square, excess) or step == options.steps:
            break
        weight *= math.exp(_GAIN * min(max(excess, -2), 2))
    return PatchRestoration(image.clamp(0, 1), step, math.sqrt(square), weight, distance)


def require_patches(image: Tensor, reference: Tensor, size: int) -> None:
    """Check that two images (c, h, w) have patches of a size, of the same channels.

    Raises:
        ValueError: one is smaller than a patch, or they differ in channels.
    """
    if image.shape[0] != reference.shape[0]:
        raise ValueError(
            f"reference must have the channels of the image, {image.shape[0]}, got "
            f"{reference.shape[0]}"
        )
    for name, one in (("reference", reference), ("image", image)):
        height, width = one.shape[1:]
        if min(height, width) < size:
            raise ValueError(
                f"{name} must be at least as large as a patch, {size}×{size}, got {height}×{width}"
            )


def _levels(
    image: Float[Tensor, "c h w"],
    reference: Float[Tensor, "c h3 w3"],
    options: PatchPriorOptions,
) -> list[Tensor]:
    """The levels of the reference that the image has too."""
    size = options.cost.patch_size
    require_patches(image, reference, size)
    ours, theirs = (pyramid(one, options.levels, size) for one in (image, reference))
    return theirs[: len(ours)]


@dataclass
class _Prior:
    """The sum of all levels' transports, with the potentials that it goes on from."""

    options: PatchPriorOptions
    references: list[Tensor]
    """The levels of the reference."""
    generator: torch.Generator
    potentials: list[Tensor | None] = field(init=False)
    drawn: list[Tensor] = field(default_factory=list)
    """Patches of each of them."""

    def __post_init__(self) -> None:
        self.potentials = [None] * len(self.references)

    def at(self, image: Float[Tensor, "c h w"]) -> tuple[float, Float[Tensor, "c h w"]]:
        """How far an image's patches are to be moved, and the gradient of the transports."""
        cost = self.options.cost
        if cost.marginal != "wpp" or not self.drawn:
            size, count = cost.patch_size, cost.samples
            self.drawn = [drawn_patches(r, size, count, self.generator) for r in self.references]
        images = pyramid(image, len(self.references), cost.patch_size)
        levels = zip(images, self.drawn, self.potentials, strict=True)
        moved = [moved_level(*level, cost) for level in levels]
        self.potentials = [level.potential for level in moved]
        gradient = pyramid_adjoint([level.gradient for level in moved])
        return sum(level.distance for level in moved), gradient


@dataclass
class _Descent:
    """Adam's averages, and the values by which it is told that they stand still."""

    rate: float
    tolerance: float
    falls: int = 0
    steps: int = 0
    mean: Tensor | float = 0.0
    square: Tensor | float = 0.0
    values: list[float] = field(default_factory=list)

    def step(self, gradient: Tensor) -> Tensor:
        """What Adam takes off an image (Kingma and Ba 2015)."""
        first, second = _MEMORY
        self.steps += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient.square()
        scale = (self.square / (1 - second**self.steps)).sqrt() + 1e-12
        return self.rate / (1 - first**self.steps) * self.mean / scale

    def ends(self, value: float, excess: float) -> bool:
        """Whether the descent is over.

        Where the value stands still and the residual is right, the rate falls to a third; the
        third time is the end.

        Args:
            value: of what descends.
            excess: logarithm of the squared residual, above its target.
        """
        self.values.append(value)
        former, latter = self.values[-2 * _WINDOW : -_WINDOW], self.values[-_WINDOW:]
        if len(former) < _WINDOW or abs(excess) > _CLOSE:
            return False
        change = abs(sum(latter) - sum(former))
        if change > self.tolerance * max(abs(sum(latter)), abs(sum(former))):
            return False
        self.rate, self.falls, self.values = self.rate / 3, self.falls + 1, []
        return self.falls == _RATES
