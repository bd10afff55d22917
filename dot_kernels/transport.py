"""The optimal transport map between two Gaussians, and the distance between them.

Axes: d features of one latent patch.

Notation of the equations: Σ₁ and μ₁ belong to the source (restored images), Σ₂ and
μ₂ to the target (natural images), ⁺ is the pseudo-inverse.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import Spectrum, factor, spectrum, square_root

CONDITION_LIMIT = 1e10
"""Above this condition number of Σ₁ (ridge included) its inverse is not trusted: the
stochastic operator is used, and directions below 1 / CONDITION_LIMIT count as empty."""

DEFAULT_RIDGE = 1e-5
"""Share of the mean variance that is added to every direction of both covariances."""


_DOUBT = 1e-9
"""Share of a nuclear norm that its quick form may be uncertain by."""

_ROUNDING = 1e-24
"""A variance below this share of the squared mean is what rounding leaves of equal values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportDiagnostics:
    """What to look at before a map is trusted.

    The distances are squared 2-Wasserstein distances of the fitted Gaussians to the
    target; ``push_forward_error`` is ‖TΣ₁Tᵀ + Σ_w − Σ₂‖ / ‖Σ₂‖ (Frobenius), on the
    covariances as measured, without the ridge.
    """

    branch: Literal["deterministic", "stochastic"]
    ridge: float
    source_count: int
    target_count: int
    source_condition: float
    source_rank: int
    largest_gain: float
    push_forward_error: float
    gelbrich_before: float
    gelbrich_after: float


@dataclass(frozen=True, slots=True, eq=False)
class TransportOperator:
    """The map y = T(x − μ₁) + μ₂ + w, w ~ N(0, Σ_w), of latent patches.

    ``noise_covariance`` is None for the deterministic map.
    """

    matrix: Float64[Tensor, "d d"]
    source_mean: Float64[Tensor, "d"]
    target_mean: Float64[Tensor, "d"]
    noise_covariance: Float64[Tensor, "d d"] | None
    diagnostics: TransportDiagnostics

    @property
    def dimension(self) -> int:
        """Number of features d."""
        return len(self.source_mean)

    @property
    def is_stochastic(self) -> bool:
        """Whether the map adds noise, and so needs a random generator."""
        return self.noise_covariance is not None

    def offset(self) -> Float64[Tensor, "d"]:
        """The constant b of y = Tx + b + w: μ₂ − Tμ₁."""
        return self.target_mean - self.matrix @ self.source_mean

    def push_forward(
        self, mean: Float64[Tensor, "d"], covariance: Float64[Tensor, "d d"]
    ) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "d d"]]:
        """Mean and covariance of mapped vectors, from those of the vectors."""
        mapped = self.matrix @ covariance @ self.matrix.mT
        if self.noise_covariance is not None:
            mapped = mapped + self.noise_covariance
        return self.matrix @ mean + self.offset(), mapped


def gelbrich_distance(a: GaussianMoments, b: GaussianMoments) -> float:
    """Squared 2-Wasserstein distance of the two Gaussians with these moments.

    ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2(Σ_b^½ Σ_a Σ_b^½)^½), Gelbrich (1990); for moments of
    Inception features this is the Fréchet Inception Distance. Rounding below zero is
    set to zero.

    Raises:
        ValueError: the dimensions differ, or one side has fewer than two samples.
    """
    a._require_same_dimension(b)
    return _gelbrich(a.mean, a.covariance(), b.mean, b.covariance())


def solve_transport(
    source: GaussianMoments, target: GaussianMoments, *, ridge: float = DEFAULT_RIDGE
) -> TransportOperator:
    """The optimal transport operator from the source's Gaussian to the target's.

    The deterministic map (Adrai et al. 2023, eq. 2) where Σ₁ can be inverted, else
    the stochastic one (eq. 5; Freirich et al. 2021, eq. 17 and 19). The choice falls
    on the condition number of Σ₁ against CONDITION_LIMIT and is in the diagnostics.

    Args:
        source: moments of patches of restored images.
        target: moments of patches of natural images.
        ridge: share of a side's mean variance added to each of its directions; 0 for
            the covariances as they are.

    Raises:
        ValueError: dimensions differ, too few patches, a side without variance,
            moments that are not finite, or a negative ridge.
    """
    source._require_same_dimension(target)
    if ridge < 0:
        raise ValueError(f"ridge must be at least 0, got {ridge}")
    measured_source = _checked_covariance(source, "source")
    measured_target = _checked_covariance(target, "target")
    source_covariance = _with_ridge(measured_source, ridge)
    target_covariance = _with_ridge(measured_target, ridge)
    source_spectrum = spectrum(source_covariance)
    noise: Tensor | None = None
    if source_spectrum.condition <= CONDITION_LIMIT:
        matrix = _deterministic_map(source_spectrum, target_covariance)
    else:
        matrix, noise = _stochastic_map(source_spectrum, target_covariance)
    mapped = matrix @ measured_source @ matrix.mT
    mapped = mapped if noise is None else mapped + noise
    means = source.mean, target.mean
    diagnostics = TransportDiagnostics(
        branch="deterministic" if noise is None else "stochastic",
        ridge=ridge,
        source_count=source.count,
        target_count=target.count,
        source_condition=source_spectrum.condition,
        source_rank=source_spectrum.rank(1 / CONDITION_LIMIT),
        largest_gain=float(torch.linalg.matrix_norm(matrix, ord=2)),
        push_forward_error=float((mapped - measured_target).norm() / measured_target.norm()),
        gelbrich_before=_gelbrich(means[0], measured_source, means[1], measured_target),
        gelbrich_after=_gelbrich(means[1], mapped, means[1], measured_target),
    )
    return TransportOperator(matrix, *means, noise, diagnostics)


def _deterministic_map(source: Spectrum, target: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Σ₁^−½ (Σ₁^½ Σ₂ Σ₁^½)^½ Σ₁^−½ (Adrai et al. 2023, eq. 2)."""
    root, inverse_root = source.power(0.5), source.power(-0.5)
    matrix = inverse_root @ square_root(root @ target @ root) @ inverse_root
    return (matrix + matrix.mT) / 2


def _stochastic_map(
    source: Spectrum, target: Float64[Tensor, "d d"]
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, "d d"]]:
    """Matrix and noise covariance for a singular source (Freirich et al. 2021, eq. 17, 19).

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


def _gelbrich(
    mean_a: Float64[Tensor, "d"],
    covariance_a: Float64[Tensor, "d d"],
    mean_b: Float64[Tensor, "d"],
    covariance_b: Float64[Tensor, "d d"],
) -> float:
    """The distance of two Gaussians; the trace is a nuclear norm of factors."""
    root_trace = _nuclear_norm(factor(covariance_b).mT @ factor(covariance_a))
    bures = covariance_a.trace() + covariance_b.trace() - 2 * root_trace
    return max(float((mean_a - mean_b).square().sum() + bures), 0.0)


def _nuclear_norm(matrix: Float64[Tensor, "r s"]) -> Float64[Tensor, ""]:
    """The sum of singular values, several times faster than by an SVD where that is exact.

    They are the roots of the eigenvalues of MᵀM, whose rounding, eps times the largest
    one, a root of a small one magnifies. Where that could be seen, the SVD decides.
    """
    if matrix.numel() == 0:
        return matrix.new_zeros(())
    smaller = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.mT
    values = torch.linalg.eigvalsh(smaller.mT @ smaller)
    rounding = torch.finfo(values.dtype).eps * values[-1]
    norm: Tensor = values.clamp(min=0).sqrt().sum()
    doubt = (rounding / values.clamp(min=rounding).sqrt()).sum()
    if bool(doubt <= _DOUBT * norm):
        return norm
    exact: Tensor = torch.linalg.svdvals(matrix).sum()
    return exact


def _checked_covariance(moments: GaussianMoments, side: str) -> Float64[Tensor, "d d"]:
    """The covariance, after the refusals that a user can do something about."""
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
