"""Square roots of symmetric positive semi-definite matrices, in float64.

Axes: d rows and columns, r the numerical rank.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

NEGATIVE_TOLERANCE = 1e-9
"""An eigenvalue below minus this share of the largest one is no rounding error."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Eigenvalues in ascending order and the matching orthonormal columns."""

    values: Float64[Tensor, "d"]
    vectors: Float64[Tensor, "d d"]

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue; infinity when the smallest is not positive."""
        smallest, largest = float(self.values[0]), float(self.values[-1])
        return largest / smallest if smallest > 0 else float("inf")

    def rank(self, cutoff: float) -> int:
        """Number of eigenvalues above ``cutoff`` times the largest."""
        return int((self.values > cutoff * self.values[-1]).sum())

    def power(self, exponent: float, cutoff: float = 0.0) -> Float64[Tensor, "d d"]:
        """The matrix to a power; directions at or below the cutoff are left out.

        A negative exponent gives the power of the pseudo-inverse.

        Args:
            exponent: any real number.
            cutoff: share of the largest eigenvalue, from which on a direction counts.
        """
        kept = self.values > cutoff * self.values[-1]
        vectors = self.vectors[:, kept]  # (d, r)
        return (vectors * self.values[kept].pow(exponent)) @ vectors.mT


def spectrum(matrix: Float64[Tensor, "d d"]) -> Spectrum:
    """Eigen-decomposition of a symmetric positive semi-definite matrix.

    Eigenvalues that rounding made slightly negative are set to zero.

    Raises:
        ValueError: the matrix is not finite, or has a truly negative eigenvalue.
    """
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("covariance must be finite, got NaN or infinity")
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    if float(values[0]) < -NEGATIVE_TOLERANCE * float(values[-1].abs()):
        raise ValueError(
            f"covariance must be positive semi-definite, got the eigenvalue {float(values[0]):.3g} "
            f"beside a largest one of {float(values[-1]):.3g}"
        )
    return Spectrum(values.clamp(min=0), vectors)


def square_root(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """The symmetric positive semi-definite square root."""
    return spectrum(matrix).power(0.5)


def factor(matrix: Float64[Tensor, "d d"]) -> Float64[Tensor, "d d"]:
    """Some F with F Fᵀ equal to the matrix: Cholesky's, or the square root if singular."""
    triangle, failed = torch.linalg.cholesky_ex(matrix)
    return square_root(matrix) if bool(failed) else triangle
