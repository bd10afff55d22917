"""Square roots of symmetric positive semi-definite matrices, in float64.

Axes: d rows and columns, r the numerical rank.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

NEGATIVE_TOLERANCE = 1e-9
"""The most, as a share of the largest eigenvalue, that rounding may put one below zero."""

CONDITION_LIMIT = 1e10
"""Directions whose variance is at most the largest one over this limit are too narrow to be
divided by, and count as empty where an inverse is needed."""

ROUNDING_LIMIT = 1e13
"""Directions whose variance is at most the largest one over this limit may be rounding, and
count as empty where no inverse is needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """The eigen-decomposition of a symmetric positive semi-definite matrix."""

    values: Float64[Tensor, "d"]
    """Eigenvalues in ascending order, none negative."""
    vectors: Float64[Tensor, "d d"]
    """Orthonormal eigenvectors as columns, in the order of ``values``."""


def filled(values: Float64[Tensor, "d"], limit: float) -> Bool[Tensor, "d"]:
    """Which directions are not empty: those whose eigenvalue is above the largest over a limit.

    Args:
        values: eigenvalues in ascending order.
        limit: CONDITION_LIMIT or ROUNDING_LIMIT.
    """
    return values > values[-1] / limit


def condition(values: Float64[Tensor, "d"]) -> float:
    """Largest over smallest of ascending eigenvalues; infinity when the smallest is zero."""
    smallest, largest = float(values[0]), float(values[-1])
    return largest / smallest if smallest > 0 else float("inf")


def spectrum(matrix: Float64[Tensor, "d d"]) -> Spectrum:
    """Eigen-decomposition of a symmetric positive semi-definite matrix.

    Eigenvalues that rounding made slightly negative are set to zero.

    Raises:
        ValueError: the matrix is not finite, or has an eigenvalue that is more negative
            than rounding explains (``NEGATIVE_TOLERANCE``).
    """
    values, vectors = torch.linalg.eigh(_symmetric(matrix))
    return Spectrum(_without_rounding(values), vectors)


def eigenvalues(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d"]:
    """The values of ``spectrum`` alone, in half the time; raises the same."""
    return _without_rounding(torch.linalg.eigvalsh(_symmetric(matrix)))


def _symmetric(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The mean of a matrix and its transpose.

    Raises:
        ValueError: the matrix is not finite.
    """
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("covariance must be finite, got NaN or infinity")
    return (matrix + matrix.mT) / 2


def _without_rounding(values: Float64[Tensor, "d"]) -> Float64[Tensor, "d"]:
    """Ascending eigenvalues, zero where rounding made them negative.

    Raises:
        ValueError: one is too negative for that.
    """
    if float(values[0]) < -NEGATIVE_TOLERANCE * float(values[-1].abs()):
        raise ValueError(
            f"covariance must be positive semi-definite, got the eigenvalue {float(values[0]):.3g} "
            f"beside a largest one of {float(values[-1]):.3g}"
        )
    return values.clamp(min=0)


def square_root(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The symmetric positive semi-definite square root of such a matrix.

    Raises:
        ValueError: as for ``spectrum``.
    """
    found = spectrum(matrix)
    return (found.vectors * found.values.sqrt()) @ found.vectors.mT


def factor(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d r"]:
    """A matrix F with F Fᵀ equal to a symmetric positive semi-definite matrix.

    Cholesky's factor, with pivoting where the matrix is singular, so that F then has as
    many columns as the numerical rank: for moments of fewer samples than dimensions,
    products of such factors are cheap. The square root where pivoting is inaccurate.

    Raises:
        ValueError: as for ``spectrum``.
    """
    triangle: Tensor
    triangle, failed = torch.linalg.cholesky_ex(matrix)
    if not bool(failed):
        return triangle
    found = _pivoted_factor(matrix)
    left = float((found @ found.mT - matrix).norm())
    is_rounding = left <= NEGATIVE_TOLERANCE * float(matrix.norm())  # false for NaN, too
    return found if is_rounding else square_root(matrix)


def _pivoted_factor(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d r"]:
    """Cholesky's factor by complete pivoting (LAPACK's dpstrf), its rows in the old order."""
    from scipy.linalg.lapack import dpstrf  # torch has none

    packed, pivots, rank, _ = dpstrf(matrix.numpy(force=True), lower=1)
    triangle: Tensor = torch.from_numpy(packed).tril()[:, :rank]
    order = torch.from_numpy(pivots).long() - 1
    return torch.empty_like(triangle).index_copy_(0, order, triangle).to(matrix)
