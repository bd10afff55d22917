"""Residual-conditioned optimal transport: what a restoring map and a potential are trained by.

Tang et al. (ICML 2024) take degraded images y to the distribution of clean images x at the least
cost of what is taken away, and find the map T and the potential φ as the saddle point of

    sup over φ, inf over T of  E φ(x) + E[ c(T(y), y) + g(y − T(y)) − φ(T(y)) ]

with c the mean squared error and g(r) = γ mean |F r|ᵖ, F the orthonormal Fourier
transform. x and y need not belong to each other. Where they do, a term of T(y) − x may be added.

Axes: b images, c channels, h and w height and width. Images are float, on the [0, 1] scale.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

ImageMap = Callable[[Tensor], Tensor]
"""From degraded to restored images, both (b, c, h, w), as a ``ResidualMap``."""

ImagePotential = Callable[[Tensor], Tensor]
"""From images (b, c, h, w) to numbers (b,), as a ``Potential``."""

Power = Literal[1, 2]
Penalty = Literal["wgan"]

_PENALTY = 10.0
"""The weight of the gradient penalty (Gulrajani et al. 2017)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLoss:
    """What the map and the potential are trained by, in turns.

    ``distance``: weight of c, the mean squared error between T(y) and y. ``gamma``: weight of g.
    ``power``: p of g. 1 for residuals with a sparse spectrum, as rain, haze and stripes leave; 2
    for noise. By Parseval's theorem g is γ c then, which leaves the map at the saddle point as it
    is and counts against ``paired`` only. ``paired``: weight of the mean squared error between
    T(y) and its clean image; 0 where images are no pairs. It is squared as c is, so that the
    weight says how much more the clean image counts than the degraded one, whatever the strength
    of the degradation. ``penalty``: wgan adds the gradient penalty that the authors' code has to
    the potential's loss. Potentials of this transport are not bound to slopes of 1, so it moves
    the saddle point; None leaves it where it is.
    """

    distance: float = 1.0
    gamma: float = 0.1
    power: Power = 1
    paired: float = 0.0
    penalty: Penalty | None = None

    def __post_init__(self) -> None:
        for name in ("distance", "gamma", "paired"):
            if not (math.isfinite(value := getattr(self, name)) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        if self.distance == self.gamma == 0:
            raise ValueError("distance or gamma must be above 0, got 0 for both")
        if self.power not in get_args(Power):
            raise ValueError(f"power must be 1 or 2, got {self.power!r}")
        if self.penalty not in (None, *get_args(Penalty)):
            raise ValueError(f"penalty must be wgan or None, got {self.penalty!r}")

    def of_map(
        self,
        map_: ImageMap,
        potential: ImagePotential,
        degraded: Float[Tensor, "b c h w"],
        clean: Float[Tensor, "b c h w"] | None,
    ) -> Float[Tensor, ""]:
        """What the map is to make small, for a batch: the cost less the potential.

        Gradients reach the weights of the potential too, which are not to follow them.

        Args:
            map_: T.
            potential: φ, held for now.
            degraded: y.
            clean: the clean images of ``degraded``, which only ``paired`` needs.

        Raises:
            ValueError: there are no clean images for ``paired``, or of another shape.
        """
        moved = map_(degraded)
        loss = self.cost(moved, degraded).mean() - potential(moved).mean()
        if self.paired:
            loss = loss + self.paired * _squared(moved, _pairs(clean, degraded)).mean()
        return loss

    def of_potential(
        self,
        map_: ImageMap,
        potential: ImagePotential,
        degraded: Float[Tensor, "b c h w"],
        clean: Float[Tensor, "n c h2 w2"],
        generator: torch.Generator,
    ) -> Float[Tensor, ""]:
        """What the potential is to make small, for a batch: φ(T(y)) − φ(x), and the penalty.

        No gradient reaches the map.

        Args:
            map_: T, held for now.
            potential: φ.
            degraded: y.
            clean: x; with a penalty as many and as large as ``degraded``.
            generator: draws, on the CPU, where the penalty looks; else not used.

        Raises:
            ValueError: the shapes differ, and there is a penalty.
        """
        with torch.no_grad():
            moved = map_(degraded)
        loss = potential(moved).mean() - potential(clean).mean()
        if self.penalty is not None:
            loss = loss + _PENALTY * _steepness(potential, moved, clean, generator)
        return loss

    def cost(
        self, moved: Float[Tensor, "b c h w"], degraded: Float[Tensor, "b c h w"]
    ) -> Float[Tensor, "b"]:
        """What it costs to move each image there: c + g."""
        cost = self.distance * _squared(moved, degraded)
        return cost + self.gamma * spectral_cost(degraded - moved, self.power)


def spectral_cost(residual: Float[Tensor, "b c h w"], power: Power) -> Float[Tensor, "b"]:
    """The mean of |F r|ᵖ over channels and frequencies, F orthonormal over height and width.

    With p = 2 this is the mean of r² (Parseval). With p = 1 it is small for residuals whose
    energy is in few frequencies.
    """
    spectrum = torch.fft.fft2(residual, norm="ortho")
    if power == 2:
        powers: Tensor = spectrum.real.square() + spectrum.imag.square()
    else:
        powers = spectrum.abs()
    return powers.mean(dim=(1, 2, 3))


def _squared(images: Tensor, others: Tensor) -> Tensor:
    """The mean squared error of each image, (b,)."""
    return (images - others).square().mean(dim=(1, 2, 3))


def _pairs(clean: Tensor | None, degraded: Tensor) -> Tensor:
    """Clean images that are there and fit."""
    if clean is None:
        raise ValueError("paired must be 0 where there are no clean images, got None for them")
    return _alike(clean, degraded)


def _alike(clean: Tensor, degraded: Tensor) -> Tensor:
    if clean.shape != degraded.shape:
        raise ValueError(
            f"clean images must have the shape of degraded ones, {tuple(degraded.shape)}, got "
            f"{tuple(clean.shape)}"
        )
    return clean


def _steepness(
    potential: ImagePotential, moved: Tensor, clean: Tensor, generator: torch.Generator
) -> Tensor:
    """The mean squared difference of 1 and the slope of φ, somewhere between moved and clean."""
    shares = torch.rand(len(moved), 1, 1, 1, generator=generator).to(moved)
    between = (moved + shares * (_alike(clean, moved) - moved)).requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(potential(between).sum(), between, create_graph=True)
    steepness: Tensor = slopes.flatten(1).norm(dim=1)
    return (steepness - 1).square().mean()
