"""What a patch prior asks of one level of an image: its patches moved to those of a reference.

Axes: c channels, h and w height and width of the level, n its patches, m those of the reference,
p patch size, d = c * p * p values of a patch.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from dot_kernels.patch_pyramids import patches_adjoint, patches_of
from dot_kernels.semi_dual import nearest_transport
from dot_kernels.sinkhorn import patch_transport

PriorMarginal = Literal["balanced", "semi", "unbalanced", "wpp"]
"""The marginals of ``patch_transport``, or the balanced transport without entropy."""

_FIRST = 20
"""Alternations, or ascents, of a level that has no potential yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCost:
    """Which transport of patches is to be cheap.

    ``marginal``: semi lets parts of the reference go unused; balanced uses all of it; unbalanced
    lets patches of the image have no counterpart either; wpp is balanced without ``eps``.
    ``eps``: entropic regularisation, in units of the squared distance of two patches, summed over
    them: detail is lost in directions in which patches vary by less than eps / 2. ``rho``: weight
    of the divergence of a marginal that may give, in the same units: the smaller, the less of
    the reference must be used. It has no effect if balanced or wpp. ``patch_size``: pixels a
    side. ``stride``: pixels between patches of the image; those of the reference are one apart.
    ``samples``: patches of the reference in a step, at most. ``alternations``: of the potentials
    in a step, or steps along the gradient of wpp's. The defaults of eps and rho are for patches
    of 6 × 6 pixels in three channels; both are sums over a patch.
    """

    marginal: PriorMarginal = "semi"
    eps: float = 0.006
    rho: float = 0.015
    patch_size: int = 6
    stride: int = 2
    samples: int = 2000
    alternations: int = 3

    def __post_init__(self) -> None:
        known = get_args(PriorMarginal)
        if self.marginal not in known:
            raise ValueError(f"marginal must be one of {', '.join(known)}, got {self.marginal!r}")
        for name in ("eps", "rho"):
            if not (math.isfinite(value := getattr(self, name)) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        for name in ("patch_size", "stride", "samples", "alternations"):
            if (count := getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")


class MovedLevel(NamedTuple):
    """The transport of a level's patches, divided by d."""

    value: float
    """At these potentials; after few alternations it may be far below that of the best ones."""
    distance: float
    """Mean squared distance of patches from what they are moved to: what stands still first."""
    gradient: Float[Tensor, "c h w"]
    """Of the value, in the pixels of the level."""
    potential: Float[Tensor, "_"]
    """What the next step goes on from: f or, of wpp, g."""


def moved_level(
    image: Float[Tensor, "c h w"],
    reference: Float[Tensor, "m d"],
    potential: Float[Tensor, "_"] | None,
    cost: PatchCost,
) -> MovedLevel:
    """The transport of an image's patches to some of a reference.

    By the envelope theorem its gradient in patch xᵢ is 2 aᵢ massᵢ (xᵢ − barycentreᵢ), which the
    adjoint of cutting patches takes to the pixels.

    Args:
        image: one level of a pyramid.
        reference: patches, others in every step; of wpp always the same ones.
        potential: of the level as it was a step ago; None at first.
        cost: which transport.
    """
    patches = patches_of(image, cost.patch_size, cost.stride)
    count = _FIRST if potential is None else cost.alternations
    if cost.marginal == "wpp":
        near = nearest_transport(patches, reference, start=potential, ascents=count)
        aims, mass = near.nearest, torch.ones_like(patches[:, :1])
        value, kept = near.value, near.reference_potential
    else:
        found = patch_transport(
            patches,
            reference,
            eps=cost.eps,
            rho=cost.rho,
            marginal=cost.marginal,
            start=potential,
            alternations=count,
        )
        aims, mass = found.barycentres, found.mass[:, None]
        value, kept = found.value, found.source_potential
    spread = patches_adjoint(mass * (patches - aims), image.shape, cost.patch_size, cost.stride)
    distance = float(((patches - aims).square() * mass).mean())
    gradient = 2 / patches.numel() * spread
    return MovedLevel(value / patches.shape[1], distance, gradient, kept)
