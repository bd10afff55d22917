"""Entropic transport between two sets of patches, balanced or with marginals that may give.

With a = 1/n, b = 1/m and the cost cᵢⱼ = |xᵢ − yⱼ|², summed over the patch, the potentials f and g
maximise, by alternation (Sinkhorn), under f = −ε log Σⱼ bⱼ exp((gⱼ − cᵢⱼ)/ε),

    ⟨a, f⟩ − ⟨b, ρ(exp(−g/ρ) − 1)⟩                                        (semi)

With ρ = ∞ the second term is ⟨b, g⟩ (balanced); where both marginals may give, the first has the
form of the second (unbalanced). By the envelope theorem the gradient of the value in xᵢ is
2 aᵢ massᵢ (xᵢ − barycentreᵢ), so that nobody needs to differentiate through the alternations.
Mignon et al. 2023; Séjourné et al. 2019 for unbalanced alternation.

The plan is never held as a whole: an alternation computes it once, in blocks, from products of
patches that are kept where they take at most a gigabyte. Patches are centred at the mean of the
reference, which leaves the exponents an error of about 10⁻⁷ |x − y|²/ε in float32.

Axes: n patches of the image that is sought, m patches of the reference, d values of a patch.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Marginal = Literal["balanced", "semi", "unbalanced"]
"""Which marginals of the plan may differ from the uniform ones: none, that of the reference, or
both."""

_WIDE = {"balanced": (False, False), "semi": (False, True), "unbalanced": (True, True)}
"""Whether the marginal of x may give, and that of the reference."""

_BLOCK = 500_000
"""Numbers of the plan that are held at once, whatever n and m: 2 MB in float32, which stay in the
caches of a processor from one operation to the next."""

_KEPT = 250_000_000
"""Products x yᵀ that are kept at most. Without them, an alternation takes three times as long on
a processor at d = 64."""

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


@dataclass(frozen=True, slots=True)
class _Problem:
    """Two sets of centred patches and what may give; all logarithms are of base 2."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    eps: float
    row_give: float
    """Weight ρ of the marginal of x, infinite where it is kept."""
    column_give: float
    """The same of the reference's."""
    products: Sequence[Float[Tensor, "_ m"]] = ()
    """x yᵀ of each block, or none where they are computed every time."""

    @property
    def scale(self) -> float:
        """log₂ e / ε: from costs to exponents of 2."""
        return math.log2(math.e) / self.eps

    def slices(self) -> list[slice]:
        """The rows of each block."""
        count = max(1, _BLOCK // len(self.y))
        return [slice(start, start + count) for start in range(0, len(self.x), count)]

    def keeping(self) -> "_Problem":
        """The same with its products kept, if they may be."""
        few = len(self.x) * len(self.y) <= _KEPT
        return replace(self, products=[self.x[rows] @ self.y.mT for rows in self.slices() if few])

    def blocks(self, g: Float[Tensor, "m"]) -> Iterator[tuple[slice, Float[Tensor, "r m"]]]:
        """Rows, a few at a time, with (g − c)/ε but for the −|x|²/ε that a row has in common."""
        bias = (g - self.y.square().sum(1)) * self.scale
        for number, rows in enumerate(self.slices()):
            kept = self.products[number] if self.products else self.x[rows] @ self.y.mT
            yield rows, torch.add(bias, kept, alpha=2 * self.scale)

    def first(self, f: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
        """The best g for f."""
        g = self.y.new_zeros(len(self.y))
        return self.next(g, self.columns(g, f))

    def next(self, g: Float[Tensor, "m"], held: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
        """The best g for the f that goes with g; ``held`` are the columns under both."""
        return _share(self.eps, self.column_give) * (g - held / self.scale)

    def rows(
        self, g: Float[Tensor, "m"], barycentres: Float[Tensor, "n d"] | None = None
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"]]:
        """The best f for g, and the log of the columns under both, in units of b.

        ``barycentres`` is overwritten with the mean of y under each row, whatever the row's mass.
        """
        n, m, share = len(self.x), len(self.y), _share(self.eps, self.row_give)
        f, sums = self.x.new_empty(n), torch.zeros_like(g)
        for rows, plan in self.blocks(g):
            most = plan.amax(dim=1)
            total = plan.sub_(most.unsqueeze(1)).exp2_().sum(dim=1)
            row = most + total.log2() - math.log2(m) - self.x[rows].square().sum(1) * self.scale
            f[rows] = -share / self.scale * row
            sums += (m / n * ((1 - share) * row).exp2() / total) @ plan
            if barycentres is not None:
                barycentres[rows] = (plan @ self.y).div_(total.unsqueeze(1))
        held = sums.log2()
        if len(faint := (sums < _FAINT).nonzero().flatten()):
            held[faint] = replace(self, y=self.y[faint], products=()).columns(g[faint], f)
        return f, held

    def columns(self, g: Float[Tensor, "m"], f: Float[Tensor, "n"]) -> Float[Tensor, "m"]:
        """The log of the columns in units of b, of which none is too small for it."""
        found = torch.full_like(g, -math.inf)
        own = (f - self.x.square().sum(1)) * self.scale - math.log2(len(f))
        for rows, exponents in self.blocks(g):
            exponents.add_(own[rows].unsqueeze(1))
            most = exponents.amax(dim=0)
            sums = exponents.sub_(most).exp2_().sum(dim=0)
            found = torch.logaddexp2(found, most + sums.log2())
        return found

    def value(self, f: Float[Tensor, "n"], g: Float[Tensor, "m"]) -> float:
        """The dual objective where f is the best for g, summed in float64."""
        gains = _gain(f, self.row_give) + _gain(g, self.column_give)
        return gains - self.eps * float(torch.expm1(-f.double() / self.row_give).mean())


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
    """Entropic optimal transport of patches x to patches y of a reference.

    Args:
        x: patches of the sought image, in float32 or float64, as is all that is returned.
        y: patches of the reference.
        eps: entropic regularisation ε, in units of the cost.
        rho: weight ρ of the Kullback-Leibler divergence of a marginal that may give.
        marginal: "balanced" is "semi" with ρ = ∞.
        start: f of a former transport of almost these patches; by default g = 0 comes first.
        alternations: at most this many; one is done at least.
        tolerance: the marginal error at which they end.

    Raises:
        ValueError: ε or ρ is not positive, a set is empty or not finite, or sizes do not fit.
    """
    _check(x, y, eps, rho, start)
    centre = y.mean(dim=0)
    rows, columns = (rho if wide else math.inf for wide in _WIDE[marginal])
    problem = _Problem(x - centre, y - centre, eps, rows, columns).keeping()
    g = problem.y.new_zeros(len(y)) if start is None else problem.first(start.to(y))
    f, g, moved, error = _alternate(problem, g, alternations, tolerance)
    return PatchTransport(
        source_potential=f,
        reference_potential=g,
        barycentres=moved + centre,
        mass=torch.exp(-f / problem.row_give),
        value=problem.value(f, g),
        marginal_error=error,
    )


def _alternate(
    problem: _Problem, g: Float[Tensor, "m"], alternations: int, tolerance: float
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"], Float[Tensor, "n d"], float]:
    """Both potentials, f being the best for g, the barycentres and the marginal error there."""
    moved = torch.empty_like(problem.x)
    for left in reversed(range(max(alternations, 1))):
        f, held = problem.rows(g, None if left else moved)
        error = _error(g, held, problem.column_give)
        if left and error <= tolerance:
            problem.rows(g, moved)
            break
        if left:
            g = problem.next(g, held)
    return f, g, moved, error


def _share(eps: float, give: float) -> float:
    """κ/ε = ρ/(ε + ρ): how far an update of a potential goes whose marginal may give."""
    return 1.0 if math.isinf(give) else give / (eps + give)


def _error(g: Float[Tensor, "m"], held: Float[Tensor, "m"], give: float) -> float:
    """The marginal error at g; see ``PatchTransport``."""
    return float((held.exp2() - torch.exp(-g / give)).abs().mean())


def _gain(potential: Float[Tensor, "k"], give: float) -> float:
    """What a potential adds to the dual objective; see the head of the module."""
    p = potential.double()
    return float(p.mean() if math.isinf(give) else -give * torch.expm1(-p / give).mean())


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
        raise ValueError(f"patches must be of one size, got {x.shape[1]} and {y.shape[1]} values")
    if not bool(torch.isfinite(x).all() & torch.isfinite(y).all()):
        raise ValueError("patches must be finite, got NaN or infinity")
    if start is not None and len(start) != len(x):
        raise ValueError(f"start must be a number for each of {len(x)} patches, got {len(start)}")
