"""The optimal transport map between two Gaussians.

Axes: d features of one latent patch.

Notation of the equations: Σ₁ and μ₁ belong to the source (restored images), Σ₂ and
μ₂ to the target (natural images), ⁺ is the pseudo-inverse.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.diagnostics import TransportDiagnostics, diagnose, mapped_covariance
from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import CONDITION_LIMIT, ROUNDING_LIMIT, eigenvalues, filled, spectrum

DEFAULT_RIDGE = 1e-5
"""Added to the variance of every direction that is not empty, as a share of the mean variance
of its side."""

_ROUNDING = 1e-24
"""A total variance up to this share of the squared mean is taken for rounding of equal values."""


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
        mapped = mapped_covariance(self.matrix, self.noise_covariance, covariance)
        return self.matrix @ mean + self.offset(), mapped


def solve_transport(
    source: GaussianMoments, target: GaussianMoments, *, ridge: float = DEFAULT_RIDGE
) -> TransportOperator:
    """The optimal transport operator from the source's Gaussian to the target's.

    The deterministic map (Adrai et al. 2023, eq. 2) where no direction of the source is empty
    (see ``spd.CONDITION_LIMIT``), else the stochastic one (eq. 5; Freirich et al. 2021, eq. 17 and
    19), which fills with noise what the source cannot tell; the diagnostics say which.

    With factors Σ = F Fᵀ and the singular value decomposition F₂ᵀF₁ = L S Rᵀ over its
    non-zero singular values, both are T = F₂ L Rᵀ F₁⁺ and Σ_w = F₂ (I − L Lᵀ) F₂ᵀ. This form
    takes no root of a product of covariances, which would cost half of the digits, and no
    inverse of Σ₂, so the target may be singular too. Directions that are empty on both sides
    say nothing about the map, which then leaves them as they are.

    Args:
        source: moments of patches of restored images.
        target: moments of patches of natural images.
        ridge: added to the variance of every direction that is not empty, as a share of its
            side's mean variance tr(Σ)/d over all d directions, empty ones included; 0 for the
            covariances as they are.

    Raises:
        ValueError: the dimensions differ, a side has no more patches than dimensions,
            does not vary or is not finite, or the ridge is negative.
    """
    matrix, noise = solve_map(source, target, ridge=ridge)
    diagnostics = diagnose(source, target, matrix, noise, ridge)
    return TransportOperator(matrix, source.mean, target.mean, noise, diagnostics)


def solve_map(
    source: GaussianMoments, target: GaussianMoments, *, ridge: float
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, "d d"] | None]:
    """T and Σ_w of ``solve_transport``, whose arguments and errors it has, without diagnostics.

    Σ_w is None where no direction of the source is empty.
    """
    source.require_same_dimension(target)
    if ridge < 0:
        raise ValueError(f"ridge must be at least 0, got {ridge}")
    covariances = _checked_covariance(source, "source"), _checked_covariance(target, "target")
    start = _Side.of(covariances[0], ridge, CONDITION_LIMIT)
    goal = _Side.of(covariances[1], ridge, ROUNDING_LIMIT)
    left, values, right = torch.linalg.svd(goal.factor.mT @ start.factor)
    if start.is_full:
        matrix = start.divide(goal.factor @ left @ right[: len(left)])
        return (matrix + matrix.mT) / 2, None
    rank = int((values > len(left) * torch.finfo(values.dtype).eps * values[0]).sum())
    matrix = start.divide(goal.factor @ left[:, :rank] @ right[:rank])
    unexplained = goal.factor @ left[:, rank:]  # a factor, so that rounding keeps it positive
    return matrix + _empty_on_both(start, goal), unexplained @ unexplained.mT


class _Side(NamedTuple):
    """The covariance Σ of source or target, apart from its empty directions."""

    factor: Float64[Tensor, "d r"]
    """F with F Fᵀ = Σ, the ridge included: triangular (Cholesky) where no direction is empty,
    else the eigenvectors of the others, each as long as its standard deviation."""

    @classmethod
    def of(cls, covariance: Float64[Tensor, "d d"], ridge: float, limit: float) -> "_Side":
        added = ridge * covariance.trace() / len(covariance)
        if bool(filled(eigenvalues(covariance), limit).all()):
            widened = covariance + added * torch.eye(len(covariance)).to(covariance)
            return cls(torch.linalg.cholesky(widened))
        found = spectrum(covariance)
        kept = filled(found.values, limit)
        return cls(found.vectors[:, kept] * (found.values[kept] + added).sqrt())

    @property
    def is_full(self) -> bool:
        """Whether no direction is empty."""
        return self.factor.shape[0] == self.factor.shape[1]

    def divide(self, matrix: Float64[Tensor, "d r"]) -> Float64[Tensor, "d d"]:
        """The matrix times F⁺."""
        if self.is_full:
            divided: Tensor = torch.linalg.solve_triangular(
                self.factor, matrix, upper=False, left=False
            )
            return divided
        return matrix @ (self.factor / self.factor.square().sum(dim=0)).mT


def _empty_on_both(source: _Side, target: _Side) -> Float64[Tensor, "d d"]:
    """The projection on the directions that are empty in the source and in the target."""
    if target.is_full:
        return torch.zeros(len(target.factor), len(target.factor)).to(target.factor)
    first, second = (
        side.factor / side.factor.norm(dim=0) for side in (source, target)
    )  # orthonormal columns
    either = spectrum(first @ first.mT + second @ second.mT)
    empty = either.vectors[:, ~filled(either.values, CONDITION_LIMIT)]
    return empty @ empty.mT


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
