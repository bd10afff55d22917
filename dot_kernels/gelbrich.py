"""The Wasserstein distance between Gaussians.

Axes: d features; r and s columns of two factors.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.moments import GaussianMoments
from dot_kernels.spd import factor

_TOLERANCE = 1e-9
"""Largest relative error at which the nuclear norm is taken from eigenvalues."""


def gelbrich_distance(a: GaussianMoments, b: GaussianMoments) -> float:
    """Squared 2-Wasserstein distance of the two Gaussians with these moments.

    ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2(Σ_b^½ Σ_a Σ_b^½)^½), Gelbrich (1990); for moments of
    Inception features this is the Fréchet Inception Distance. A result that rounding
    made negative is set to zero.

    Raises:
        ValueError: the dimensions differ, or one side has fewer than two samples.
    """
    a.require_same_dimension(b)
    return gaussian_distance(a.mean, a.covariance(), b.mean, b.covariance())


def gaussian_distance(
    mean_a: Float64[Tensor, "d"],
    covariance_a: Float64[Tensor, "d d"],
    mean_b: Float64[Tensor, "d"],
    covariance_b: Float64[Tensor, "d d"],
) -> float:
    """The distance of ``gelbrich_distance``, from means and covariances.

    With factors Σ = F Fᵀ, the trace of (Σ_b^½ Σ_a Σ_b^½)^½ is the nuclear norm of F_bᵀ F_a.
    """
    root_trace = _nuclear_norm(factor(covariance_b).mT @ factor(covariance_a))
    bures = covariance_a.trace() + covariance_b.trace() - 2 * root_trace
    return max(float((mean_a - mean_b).square().sum() + bures), 0.0)


def _nuclear_norm(matrix: Float64[Tensor, "r s"]) -> Float64[Tensor, ""]:
    """The sum of the singular values of a matrix M.

    They are the square roots of the eigenvalues of MᵀM, which are several times faster
    to compute than an SVD, but have an absolute error of about machine epsilon times
    the largest one; the root magnifies that of a small one. Where the sum's relative
    error could exceed 1e-9 on that account, the SVD is computed instead.
    """
    if matrix.numel() == 0:
        return matrix.new_zeros(())
    smaller = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.mT
    values = torch.linalg.eigvalsh(smaller.mT @ smaller)
    rounding = torch.finfo(values.dtype).eps * values[-1]
    norm: Tensor = values.clamp(min=0).sqrt().sum()
    error = (rounding / values.clamp(min=rounding).sqrt()).sum()
    if bool(error <= _TOLERANCE * norm):
        return norm
    exact: Tensor = torch.linalg.svdvals(matrix).sum()
    return exact
