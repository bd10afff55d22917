"""What to look at before a transport map is trusted.

Axes: d features of one latent patch; r directions along which the target is not empty.

Σ₁ and μ₁ belong to the source (restored images), Σ₂ and μ₂ to the target (natural images),
T is the matrix of the map and Σ_w the covariance of its noise.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.gelbrich import gaussian_distance
from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import (
    CONDITION_LIMIT,
    ROUNDING_LIMIT,
    Spectrum,
    condition,
    eigenvalues,
    filled,
    spectrum,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportDiagnostics:
    """What to look at before a map is trusted."""

    branch: Literal["deterministic", "stochastic"]
    """Which map was solved for: the one without noise, or the one that adds noise."""
    ridge: float
    """The ridge that ``solve_transport`` was given."""
    source_count: int
    """Number of patches behind Σ₁ and μ₁."""
    target_count: int
    """Number of patches behind Σ₂ and μ₂."""
    source_condition: float
    """Largest over smallest eigenvalue of Σ₁ without the ridge; infinity if it is singular."""
    source_rank: int
    """Number of eigenvalues of Σ₁ above the largest one over ``spd.CONDITION_LIMIT``."""
    largest_gain: float
    """Spectral norm of T: how many times longer a small change of a patch may come out of the
    map. This is what the map costs in robustness: noise, blocks of compression, and errors of
    the restorer are made stronger by up to as much."""
    push_forward_error: float
    """‖TΣ₁Tᵀ + Σ_w − Σ₂‖ / ‖Σ₂‖ (Frobenius), of the covariances without the ridge. The widest
    few directions decide it."""
    variance_reached_median: float
    """Median over the eigenvectors v of Σ₂ of vᵀ(TΣ₁Tᵀ + Σ_w)v / vᵀΣ₂v, the share of the
    target's variance that mapped patches have in this direction; empty ones are left out."""
    variance_reached_least: float
    """The smallest of these shares."""
    gelbrich_before: float
    """Squared 2-Wasserstein distance of the source's Gaussian to the target's."""
    gelbrich_after: float
    """The same distance after the map, whose mean is the target's unless the map was shrunk; of
    patches one by one, not of the latents into which overlapping patches are averaged."""


def diagnose(
    source: GaussianMoments,
    target: GaussianMoments,
    matrix: Float64[Tensor, "d d"],
    noise: Float64[Tensor, "d d"] | None,
    ridge: float,
    *,
    mean: Float64[Tensor, "d"] | None = None,
) -> TransportDiagnostics:
    """Diagnostics of a solved map.

    Args:
        source: moments that the map was solved for.
        target: the same.
        matrix: T.
        noise: Σ_w; None for the deterministic map.
        ridge: what the map was solved with.
        mean: of mapped patches; None for the target's, as optimal maps have it.
    """
    covariances = source.covariance(), target.covariance()
    variances = eigenvalues(covariances[0])
    mapped = mapped_covariance(matrix, noise, covariances[0])
    reached = variance_reached(mapped, spectrum(covariances[1]))
    error = (mapped - covariances[1]).norm() / covariances[1].norm()
    return TransportDiagnostics(
        branch="deterministic" if noise is None else "stochastic",
        ridge=ridge,
        source_count=source.count,
        target_count=target.count,
        source_condition=condition(variances),
        source_rank=int(filled(variances, CONDITION_LIMIT).sum()),
        largest_gain=_spectral_norm(matrix),
        push_forward_error=float(error),
        variance_reached_median=float(reached.quantile(0.5)),
        variance_reached_least=float(reached.min()),
        gelbrich_before=gaussian_distance(source.mean, covariances[0], target.mean, covariances[1]),
        gelbrich_after=gaussian_distance(
            target.mean if mean is None else mean, mapped, target.mean, covariances[1]
        ),
    )


def _spectral_norm(matrix: Float64[Tensor, "d d"]) -> float:
    is_symmetric = torch.equal(matrix, matrix.mT)
    values = torch.linalg.eigvalsh(matrix).abs() if is_symmetric else torch.linalg.svdvals(matrix)
    return float(values.max())


def mapped_covariance(
    matrix: Float64[Tensor, "d d"],
    noise: Float64[Tensor, "d d"] | None,
    covariance: Float64[Tensor, "d d"],
) -> Float64[Tensor, "d d"]:
    """Covariance T Σ Tᵀ + Σ_w of mapped vectors."""
    mapped = matrix @ covariance @ matrix.mT
    return mapped if noise is None else mapped + noise


def variance_reached(covariance: Float64[Tensor, "d d"], target: Spectrum) -> Float64[Tensor, "r"]:
    """The share of the target's variance that patches have along each of its eigenvectors.

    1 is what a perfect map reaches; above it, patches vary too much. Directions along which the
    target is empty are left out.

    Args:
        covariance: that of the patches.
        target: the spectrum of the target's covariance.
    """
    kept = filled(target.values, ROUNDING_LIMIT)
    vectors = target.vectors[:, kept]  # (d, r)
    return (vectors * (covariance @ vectors)).sum(dim=0) / target.values[kept]
