"""Entropic transport between two sets of patches, balanced or with marginals that may give.

Axes: n patches of the image that is sought, m patches of the reference, d values of a patch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

Marginal = Literal["balanced", "semi", "unbalanced"]
"""Which marginals of the plan may differ from the uniform ones: none, that of the reference, or
both."""

_BLOCK = 4_000_000
"""Numbers of the plan that are held at once: 16 MB in float32, whatever n and m."""

_FAINT = 1e-30
"""A column of the plan with less mass than this, of a mean of 1, is summed again by logarithms:
most of its numbers were lost below what float32 can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchTransport:
    """Transport of patches x to patches y at given potentials.

    The plan is P = a ⊗ b · exp((f + g − c)/ε) with a = 1/n, b = 1/m and the cost c of a pair, its
    squared distance summed over the patch.
    """

    source_potential: Float[Tensor, "n"]
    """f, which is optimal for g: what ``start`` takes to go on from here."""
    reference_potential: Float[Tensor, "m"]
    """g."""
    barycentres: Float[Tensor, "n d"]
    """What each x is moved to: the mean of the reference under its row of the plan."""
    mass: Float[Tensor, "n"]
    """What each row of the plan holds, in units of a: 1 where the marginal of x is kept."""
    value: float
    """The dual objective at f and g, which never is above the minimum of the primal one."""
    marginal_error: float
    """How far the reference's marginal is from being optimal, as a sum of absolute differences of
    masses: 0 at the solution, at most about 2."""


class _Cost(NamedTuple):
    """What the rows of the plan are computed from, in exponents of 2."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    x_squares: Float[Tensor, "n"]
    y_squares: Float[Tensor, "m"]
    scale: float
    """log₂ e / ε."""

    def exponents(self, rows: slice, potential: Float[Tensor, "m"]) -> Float[Tensor, "r m"]:
        """(g − c)/ε of some rows without the part −|x|²/ε that a row has in common."""
        bias = (potential - self.y_squares) * self.scale
        return torch.addmm(bias, self.x[rows], self.y.mT, alpha=2 * self.scale)

    def blocks(self) -> Iterator[slice]:
        """The rows, a few at a time."""
        count = max(1, _BLOCK // len(self.y))
        for start in range(0, len(self.x), count):
            yield slice(start, start + count)


def patch_transport(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    eps: float,
    rho: float = math.inf,
    marginal: Marginal = "semi",
    start: Float[Tensor, "n"] | None = None,
    alternations: int = 100,
    tolerance: float = 1e-4,
) -> PatchTransport:
    """Entropic optimal transport of patches to those of a reference.

    Maximises over the potentials, by alternation (Sinkhorn),

        ⟨a, f⟩ − ⟨b, ρ(exp(−g/ρ) − 1)⟩                                        (semi)

    under f = −ε log Σⱼ bⱼ exp((gⱼ − cᵢⱼ)/ε). With ρ = ∞ the second term is ⟨b, g⟩ (balanced);
    where both marginals may give, the first has the same form as the second. By the envelope
    theorem the gradient of the value in xᵢ is 2 aᵢ · massᵢ · (xᵢ − barycentreᵢ), so that nobody
    needs to differentiate through the alternations.

    The plan is never held as a whole: memory beside the inputs is some blocks of 16 MB. Patches
    are centred at the mean of the reference, which leaves float32 an error of the exponents of
    about 10⁻⁷ |x − y|²/ε. Each alternation reads the plan once. In float64 if x is.

    Args:
        x: patches of the sought image.
        y: patches of the reference.
        eps: entropic regularisation ε, in units of the cost.
        rho: weight ρ of the Kullback-Leibler divergence of a marginal that may give.
        marginal: "balanced" is "semi" with ρ = ∞.
        start: f of a former transport of patches that were almost these, to this reference or
            another sample of it; by default the g to begin with is 0.
        alternations: at most this many. At least one is done.
        tolerance: the marginal error at which they end.

    Source: Mignon et al. 2023; Séjourné et al. 2019 for unbalanced Sinkhorn.

    Raises:
        ValueError: ε or ρ is not positive, a set is empty or not finite, the patches differ in
            their number of values, or ``start`` is not one number for each x.
    """
    _check(x, y, eps, rho, start)
    give = math.inf if marginal == "balanced" else rho
    centre = y.mean(dim=0)
    moved, fixed = x - centre, y - centre
    cost = _Cost(
        moved, fixed, moved.square().sum(1), fixed.square().sum(1), math.log2(math.e) / eps
    )
    g = y.new_zeros(len(y))
    if start is not None:
        logs = _columns(cost, torch.arange(len(y), device=y.device), g, start.to(y))
        g = -_share(eps, give) * eps / math.log2(math.e) * logs
    row_share = 1.0 if marginal != "unbalanced" else _share(eps, give)
    for number in range(max(1, alternations)):
        f, held = _update(cost, g, eps, row_share)
        wanted = torch.exp(-g / give)
        error = float((held.exp2() - wanted).abs().mean())
        if error <= tolerance or number + 1 >= alternations:
            break
        # held = log₂ Σᵢ aᵢ exp((fᵢ + gⱼ − cᵢⱼ)/ε), so that the update of g leaves its own part out
        g = _share(eps, give) * (g - held * (eps / math.log2(math.e)))
    mass = torch.exp(-f / give) if marginal == "unbalanced" else torch.ones_like(f)
    return PatchTransport(
        source_potential=f,
        reference_potential=g,
        barycentres=_barycentres(cost, g) + centre,
        mass=mass,
        value=_value(f, g, give, mass, eps),
        marginal_error=error,
    )


def _share(eps: float, give: float) -> float:
    """κ/ε = ρ/(ε + ρ): how far an update of a potential goes whose marginal may give."""
    return 1.0 if math.isinf(give) else give / (eps + give)


def _update(
    cost: _Cost, g: Float[Tensor, "m"], eps: float, share: float
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"]]:
    """The best f for g, and log₂ of the reference's marginal under both in units of b."""
    n, m = len(cost.x), len(cost.y)
    unit = eps / math.log2(math.e)
    f, columns = g.new_empty(n), torch.zeros_like(g)
    for rows in cost.blocks():
        plan = cost.exponents(rows, g)
        most = plan.amax(dim=1)
        plan.sub_(most.unsqueeze(1)).exp2_()
        total = plan.sum(dim=1)
        log_row = most + total.log2() - math.log2(m) - cost.x_squares[rows] * cost.scale
        f[rows] = -share * unit * log_row
        mass = ((1 - share) * log_row).exp2()
        columns += (m / n * mass / total) @ plan
    logs = columns.log2()
    faint = (columns < _FAINT).nonzero().flatten()
    logs[faint] = _columns(cost, faint, g, f)
    return f, logs


def _barycentres(cost: _Cost, g: Float[Tensor, "m"]) -> Float[Tensor, "n d"]:
    """The mean of y under each row of the plan, whatever the row's mass."""
    found = torch.empty_like(cost.x)
    for rows in cost.blocks():
        found[rows] = cost.exponents(rows, g).mul_(math.log(2)).softmax(dim=1) @ cost.y
    return found


def _columns(
    cost: _Cost,
    columns: Int[Tensor, "k"],
    g: Float[Tensor, "m"],
    f: Float[Tensor, "n"],
) -> Float[Tensor, "k"]:
    """log₂ of some columns' masses in units of b, by logarithms, so that none is too small."""
    found = g.new_full((len(columns),), -math.inf)
    if len(columns) == 0:
        return found
    part = cost._replace(y=cost.y[columns], y_squares=cost.y_squares[columns])
    own = (f - cost.x_squares) * cost.scale - math.log2(len(f))
    for rows in part.blocks():
        exponents = part.exponents(rows, g[columns]).add_(own[rows].unsqueeze(1))
        most = exponents.amax(dim=0)
        sums = exponents.sub_(most).exp2_().sum(dim=0)
        found = torch.logaddexp2(found, most + sums.log2())
    return found


def _value(
    f: Float[Tensor, "n"], g: Float[Tensor, "m"], give: float, mass: Float[Tensor, "n"], eps: float
) -> float:
    """The dual objective where f is optimal for g, summed in float64."""
    f, g, mass = f.double(), g.double(), mass.double()
    reference = g.mean() if math.isinf(give) else -give * torch.expm1(-g / give).mean()
    if bool((mass == 1).all()):
        return float(f.mean() + reference)
    return float(-give * (mass - 1).mean() + reference - eps * (mass.mean() - 1))


def _check(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    eps: float,
    rho: float,
    start: Float[Tensor, "n"] | None,
) -> None:
    """Refuse what has no transport; see ``patch_transport``."""
    if not (math.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be positive and finite, got {eps}")
    if not rho > 0:
        raise ValueError(f"rho must be positive, got {rho}")
    if len(x) == 0 or len(y) == 0:
        raise ValueError(f"patches must be at least one a side, got {len(x)} and {len(y)}")
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"patches of both sides must have as many values, got {x.shape[1]} and {y.shape[1]}"
        )
    if not bool(torch.isfinite(x).all() & torch.isfinite(y).all()):
        raise ValueError("patches must be finite, got NaN or infinity")
    if start is not None and start.shape != (len(x),):
        raise ValueError(
            f"start must have one number for each of {len(x)} patches, "
            f"got shape {tuple(start.shape)}"
        )
