"""Optimal transport of patches to a reference without entropy: the semi-dual problem.

With a = 1/n, b = 1/m and the cost cᵢⱼ = |xᵢ − yⱼ|², summed over the patch, a potential g of the
reference maximises

    ⟨a, minⱼ (cᵢⱼ − gⱼ)⟩ + ⟨b, g⟩,

whose gradient in gⱼ is bⱼ less the share of the x that are nearest to yⱼ. Each x moves to that
nearest y: what the entropic transport of ``sinkhorn`` does as ε goes to 0 and both marginals are
kept. Hertrich et al. 2022, who climb as is done here.

Axes: n patches of the image that is sought, m patches of the reference, d values of a patch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 4_000_000
"""Numbers of the cost that are held at once: 16 MB in float32, whatever n and m."""


class NearestTransport(NamedTuple):
    """Transport of patches x to the patches y that are nearest at a potential."""

    reference_potential: Float[Tensor, "m"]
    """g: what ``start`` takes to go on from here."""
    nearest: Float[Tensor, "n d"]
    """The patch of the reference that each x is moved to."""
    value: float
    """The semi-dual objective, which never is above the cost of the optimal transport."""
    marginal_error: float
    """Sum of absolute differences between b and what the patches of the reference receive: at
    most 2."""


def nearest_transport(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    start: Float[Tensor, "m"] | None = None,
    ascents: int = 100,
    rate: float = 0.1,
) -> NearestTransport:
    """Transport of patches x to patches y of a reference, by gradient ascent.

    Args:
        x: patches of the sought image, in float32 or float64, as is all that is returned.
        y: patches of the reference.
        start: g of a former transport to the same y; 0 by default.
        ascents: steps along the gradient; the k-th has the length ``rate`` / √k.
        rate: in units of the mean cost of x to the nearest y at the start.

    Raises:
        ValueError: a set is empty, or sizes do not fit.
    """
    if len(x) == 0 or len(y) == 0:
        raise ValueError(f"patches must be at least one a side, got {len(x)} and {len(y)}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"patches must be of one size, got {x.shape[1]} and {y.shape[1]} values")
    if start is not None and len(start) != len(y):
        raise ValueError(f"start must be a number for each of {len(y)} patches, got {len(start)}")
    centre = y.mean(dim=0)
    x, y = x - centre, y - centre
    g = y.new_zeros(len(y)) if start is None else start.to(y)
    gains, chosen = _nearest(x, y, g)
    length = rate * float((x - y[chosen]).square().sum(dim=1).mean())
    for k in range(1, ascents + 1):
        g = g + length / k**0.5 * (1 - _received(chosen, len(y), g))
        gains, chosen = _nearest(x, y, g)
    return NearestTransport(
        reference_potential=g,
        nearest=y[chosen] + centre,
        value=float(gains.double().mean() + g.double().mean()),
        marginal_error=float((1 - _received(chosen, len(y), g)).abs().mean()),
    )


def _nearest(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], g: Float[Tensor, "m"]
) -> tuple[Float[Tensor, "n"], Int[Tensor, "n"]]:
    """minⱼ (cᵢⱼ − gⱼ) for each x, and the j that has it; in blocks of rows."""
    bias = y.square().sum(dim=1) - g
    rows = max(1, _BLOCK // len(y))
    found = [torch.addmm(bias, part, y.mT, alpha=-2).min(dim=1) for part in torch.split(x, rows)]
    least = torch.cat([each.values for each in found])
    return least + x.square().sum(dim=1), torch.cat([each.indices for each in found])


def _received(chosen: Int[Tensor, "n"], m: int, like: Tensor) -> Float[Tensor, "m"]:
    """What each y receives, in units of b."""
    return torch.bincount(chosen, minlength=m).to(like) * (m / len(chosen))
