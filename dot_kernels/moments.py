"""Sufficient statistics of Gaussian models, which add up across shards.

Axes: n samples, d features of one sample (a latent patch: channels * height * width).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_LEAST_REST = 1e-5
"""Smallest share of the whole's scatter (trace) that a difference is trusted with. Its rounding
is then below 1e-10 of its own, within what ``spectrum`` takes for rounding (1e-9)."""


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMoments:
    """Count, mean and centred scatter of a set of vectors, in float64.

    Up to rounding, the order of ``+`` does not matter and ``-`` undoes it, so shards may
    finish in any order, and one can be taken out without reading the others again. The
    scatter is centred before it is summed: subtracting ``n * mean * mean.T`` afterwards
    would lose the small eigenvalues that the transport map divides by.
    """

    count: int
    """Number n of vectors x."""
    mean: Float64[Tensor, "d"]
    scatter: Float64[Tensor, "d d"]
    """Σ (x − mean)(x − mean)ᵀ over the vectors: n − 1 times their covariance."""

    @classmethod
    def zero(cls, dimension: int) -> "GaussianMoments":
        """The moments of no samples: the neutral element of ``+``."""
        return cls(
            0,
            torch.zeros(dimension, dtype=torch.float64),
            torch.zeros(dimension, dimension, dtype=torch.float64),
        )

    @classmethod
    def of(cls, samples: Float[Tensor, "n d"]) -> "GaussianMoments":
        """Moments of one batch of samples, accumulated in float64.

        Raises:
            ValueError: a sample is not finite.
        """
        x = samples.double()
        if len(x) == 0:
            return cls(0, x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1], x.shape[1]))
        mean = x.mean(dim=0)
        centred = x - mean
        scatter = centred.mT @ centred
        if not bool(torch.isfinite(scatter).all()):
            raise ValueError("samples must be finite, got NaN or infinity")
        return cls(len(x), mean, scatter)

    @property
    def dimension(self) -> int:
        """Number d of features of a sample."""
        return len(self.mean)

    def __add__(self, other: "GaussianMoments") -> "GaussianMoments":
        """Moments of both sets together, by the update of Chan, Golub & LeVeque (1979).

        Raises:
            ValueError: the dimensions differ.
        """
        self.require_same_dimension(other)
        n = self.count + other.count
        if n == 0:
            return self
        shift = other.mean - self.mean  # (d,)
        # In place on what is new here: the same bits, without two more matrices in memory.
        between = torch.outer(shift, shift).mul_(self.count * other.count / n)
        scatter = (self.scatter + other.scatter).add_(between)
        return GaussianMoments(n, self.mean + shift * (other.count / n), scatter)

    def __sub__(self, other: "GaussianMoments") -> "GaussianMoments":
        """Moments of this set without the samples of ``other``, which it must contain.

        Rounding leaves about 1e-16 of the scatter of the whole. Where the rest varies so much
        less than what is taken back that this counts, only measuring it again gives its moments.

        Raises:
            ValueError: ``other`` has more samples than ``self``, the dimensions differ, or the
                rest must be measured again.
        """
        self.require_same_dimension(other)
        n = self.count - other.count
        if n < 0:
            raise ValueError(
                f"moments taken back must be part of the whole, got {other.count} samples "
                f"out of {self.count}"
            )
        if n == 0:
            return GaussianMoments.zero(self.dimension)
        mean = self.mean + (self.mean - other.mean) * (other.count / n)
        if n == 1:
            return GaussianMoments(n, mean, torch.zeros_like(self.scatter))
        shift = other.mean - mean  # (d,)
        scatter = self.scatter - other.scatter
        scatter = scatter - torch.outer(shift, shift) * (n * other.count / self.count)
        _require_digits(scatter, self.scatter)
        return GaussianMoments(n, mean, scatter)

    def covariance(self) -> Float64[Tensor, "d d"]:
        """Unbiased covariance of the samples.

        Raises:
            ValueError: there are fewer than two samples.
        """
        if self.count < 2:
            raise ValueError(f"covariance needs at least 2 samples, got {self.count}")
        return self.scatter / (self.count - 1)

    def raw_sums(self) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "d d"]]:
        """Sum of the samples and sum of their outer products."""
        return self.mean * self.count, self.scatter + self.count * torch.outer(self.mean, self.mean)

    def require_same_dimension(self, other: "GaussianMoments") -> None:
        """Return if both moments are of vectors with the same number of features.

        Raises:
            ValueError: they are not.
        """
        if self.dimension != other.dimension:
            raise ValueError(
                f"moments must have the same dimension, got {self.dimension} and {other.dimension}"
            )


def _require_digits(rest: Float64[Tensor, "d d"], whole: Float64[Tensor, "d d"]) -> None:
    """Return if the difference of scatters that left this rest of a whole kept enough digits.

    Raises:
        ValueError: it did not.
    """
    share = float(rest.trace()) / max(float(whole.trace()), torch.finfo(whole.dtype).tiny)
    if share < _LEAST_REST and float(whole.trace()) > 0:
        raise ValueError(
            "moments taken back must leave at least 1e-5 of the whole's variance, or rounding "
            f"decides the rest, got {max(share, 0):.1g}; measure the rest again"
        )


def merge(parts: Iterable[GaussianMoments]) -> GaussianMoments:
    """Moments of all parts together, added in the order given.

    An iterator is advanced one part at a time, so parts that it loads need not fit into
    memory together.

    Raises:
        ValueError: there are no parts, so the dimension is unknown, or dimensions differ.
    """
    rest = iter(parts)
    total = next(rest, None)
    if total is None:
        raise ValueError("parts must hold at least one set of moments, got none")
    for part in rest:
        total = total + part
    return total
