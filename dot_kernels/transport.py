"""The optimal transport map between two Gaussians.

Axes: d features of one latent patch.

Notation of the equations: Σ₁ and μ₁ belong to the source (restored images), Σ₂ and
μ₂ to the target (natural images), ⁺ is the pseudo-inverse.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.gelbrich import gaussian_distance
from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import Spectrum, spectrum, square_root

CONDITION_LIMIT = 1e10
"""Largest condition number of Σ₁, ridge included, at which it is inverted. Above it the
stochastic operator is used, and directions whose variance is at most the largest one
over CONDITION_LIMIT count as empty."""

DEFAULT_RIDGE = 1e-5
"""Added to the variance of every direction, as a share of the mean variance of its side."""

_ROUNDING = 1e-24
"""A total variance up to this share of the squared mean is taken for rounding of equal values."""


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
    """Largest over smallest eigenvalue of Σ₁ with the ridge; infinity if it is singular."""
    source_rank: int
    """Number of eigenvalues of Σ₁ with the ridge above the largest / CONDITION_LIMIT."""
    largest_gain: float
    """Spectral norm of T: the most by which the map lengthens a direction."""
    push_forward_error: float
    """‖TΣ₁Tᵀ + Σ_w − Σ₂‖ / ‖Σ₂‖ (Frobenius), of the covariances without the ridge."""
    gelbrich_before: float
    """Squared 2-Wasserstein distance of the source's Gaussian to the target's."""
    gelbrich_after: float
    """The same distance after the map, whose mean is the target's."""


@dataclass(frozen=True, slots=True, eq=False)
class TransportOperator:
    """The map y = T(x − μ₁) + μ₂ + w, w ~ N(0, Σ_w), of latent patches."""

    matrix: Float64[Tensor, "d d"]
    """The matrix T; symmetric for the deterministic map."""
    source_mean: Float64[Tensor, "d"]
    """The mean μ₁ of source patches."""
    target_mean: Float64[Tensor, "d"]
    """The mean μ₂ of target patches."""
    noise_covariance: Float64[Tensor, "d d"] | None
    """The covariance Σ_w of the noise w; None for the deterministic map, which adds none."""
    diagnostics: TransportDiagnostics

    @property
    def dimension(self) -> int:
        """Number d of features of a patch."""
        return len(self.source_mean)

    @property
    def is_stochastic(self) -> bool:
        """Whether the map adds noise, and so needs a random generator."""
        return self.noise_covariance is not None

    def offset(self) -> Float64[Tensor, "d"]:
        """The constant b = μ₂ − Tμ₁ of the map y = Tx + b + w."""
        return self.target_mean - self.matrix @ self.source_mean

    def push_forward(
        self, mean: Float64[Tensor, "d"], covariance: Float64[Tensor, "d d"]
    ) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "d d"]]:
        """Mean and covariance of mapped vectors, from those of the vectors."""
        mapped = _mapped_covariance(self.matrix, self.noise_covariance, covariance)
        return self.matrix @ mean + self.offset(), mapped


def solve_transport(
    source: GaussianMoments, target: GaussianMoments, *, ridge: float = DEFAULT_RIDGE
) -> TransportOperator:
    """The optimal transport operator from the source's Gaussian to the target's.

    The deterministic map (Adrai et al. 2023, eq. 2) where Σ₁ with its ridge has a
    condition number of at most CONDITION_LIMIT, else the stochastic one (eq. 5;
    Freirich et al. 2021, eq. 17 and 19); the diagnostics say which.

    Args:
        source: moments of patches of restored images.
        target: moments of patches of natural images.
        ridge: added to the variance of every direction, as a share of the mean variance
            of its side; 0 for the covariances as they are.

    Raises:
        ValueError: the dimensions differ, a side has no more patches than dimensions,
            does not vary or is not finite, or the ridge is negative.
    """
    source.require_same_dimension(target)
    if ridge < 0:
        raise ValueError(f"ridge must be at least 0, got {ridge}")
    source_covariance = _with_ridge(_checked_covariance(source, "source"), ridge)
    target_covariance = _with_ridge(_checked_covariance(target, "target"), ridge)
    source_spectrum = spectrum(source_covariance)
    noise: Tensor | None = None
    if source_spectrum.condition <= CONDITION_LIMIT:
        matrix = _deterministic_map(source_spectrum, target_covariance)
    else:
        matrix, noise = _stochastic_map(source_spectrum, target_covariance)
    diagnostics = _diagnose(source, target, ridge, source_spectrum, matrix, noise)
    return TransportOperator(matrix, source.mean, target.mean, noise, diagnostics)


def _deterministic_map(source: Spectrum, target: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The matrix T = Σ₁^−½ (Σ₁^½ Σ₂ Σ₁^½)^½ Σ₁^−½ (Adrai et al. 2023, eq. 2)."""
    root, inverse_root = source.power(0.5), source.power(-0.5)
    matrix = inverse_root @ square_root(root @ target @ root) @ inverse_root
    return (matrix + matrix.mT) / 2


def _stochastic_map(
    source: Spectrum, target: Float64[Tensor, "d d"]
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, "d d"]]:
    """T and Σ_w for a singular Σ₁ (Freirich et al. 2021, eq. 17 and 19).

    With the singular value decomposition Σ₂^½ Σ₁^½ = L S Rᵀ over its non-zero singular
    values, the matrix of eq. 17 is Σ₂^½ L Rᵀ Σ₁^½⁺ and the covariance of eq. 19 is
    Σ₂^½ (I − L Lᵀ) Σ₂^½. This form needs no inverse of Σ₂, so the target may be
    singular too.
    """
    cutoff = 1 / CONDITION_LIMIT
    target_root = square_root(target)
    left, values, right = torch.linalg.svd(target_root @ source.power(0.5, cutoff))
    kept = values > values[0] * cutoff
    matrix = target_root @ left[:, kept] @ right[kept] @ source.power(-0.5, cutoff)
    unexplained = target_root @ left[:, ~kept]  # a factor, so that rounding keeps it positive
    return matrix, unexplained @ unexplained.mT


def _diagnose(
    source: GaussianMoments,
    target: GaussianMoments,
    ridge: float,
    source_spectrum: Spectrum,
    matrix: Float64[Tensor, "d d"],
    noise: Float64[Tensor, "d d"] | None,
) -> TransportDiagnostics:
    """Diagnostics of a solved map; ``source_spectrum`` is that of Σ₁ with the ridge."""
    measured_source, measured_target = source.covariance(), target.covariance()
    mapped = _mapped_covariance(matrix, noise, measured_source)
    return TransportDiagnostics(
        branch="deterministic" if noise is None else "stochastic",
        ridge=ridge,
        source_count=source.count,
        target_count=target.count,
        source_condition=source_spectrum.condition,
        source_rank=source_spectrum.rank(1 / CONDITION_LIMIT),
        largest_gain=float(torch.linalg.matrix_norm(matrix, ord=2)),
        push_forward_error=float((mapped - measured_target).norm() / measured_target.norm()),
        gelbrich_before=gaussian_distance(
            source.mean, measured_source, target.mean, measured_target
        ),
        gelbrich_after=gaussian_distance(target.mean, mapped, target.mean, measured_target),
    )


def _mapped_covariance(
    matrix: Float64[Tensor, "d d"],
    noise: Float64[Tensor, "d d"] | None,
    covariance: Float64[Tensor, "d d"],
) -> Float64[Tensor, "d d"]:
    """Covariance T Σ Tᵀ + Σ_w of mapped vectors."""
    mapped = matrix @ covariance @ matrix.mT
    return mapped if noise is None else mapped + noise


def _checked_covariance(moments: GaussianMoments, side: str) -> Float64[Tensor, "d d"]:
    """The covariance of moments that a map can be solved for.

    Args:
        moments: those of one side.
        side: its name, for messages.

    Raises:
        ValueError: there are no more patches than dimensions, the patches do not vary,
            or the moments are not finite.
    """
    if moments.count <= moments.dimension:
        raise ValueError(
            f"{side} must hold more patches than the {moments.dimension} dimensions of a patch, "
            f"got {moments.count}; use more or larger images, or a smaller patch size"
        )
    covariance = moments.covariance()
    if not bool(torch.isfinite(covariance).all() and torch.isfinite(moments.mean).all()):
        raise ValueError(f"{side} moments must be finite, got NaN or infinity")
    if float(covariance.trace()) <= _ROUNDING * float(moments.mean.square().sum()):
        raise ValueError(
            f"{side} patches must vary, got {moments.count} equal ones; "
            "check that the images are not all of one colour"
        )
    return covariance


def _with_ridge(covariance: Float64[Tensor, "d d"], ridge: float) -> Float64[Tensor, "d d"]:
    """The covariance plus ``ridge`` times its mean variance in every direction."""
    mean_variance = covariance.trace() / len(covariance)
    return covariance + ridge * mean_variance * torch.eye(len(covariance)).to(covariance)
