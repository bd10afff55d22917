"""Sufficient statistics of Gaussian models, mergeable across shards.

Axes: n samples, d features of one sample (a latent patch: channels * height * width).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMoments:
    """Count, mean and centred scatter of a set of vectors, in float64.

    A commutative group under ``+`` and ``-``, so shards may finish in any order
    and one shard can be taken back without touching the others. The scatter is
    centred before it is summed: subtracting ``n * mean * mean.T`` afterwards
    loses the small eigenvalues that the transport map divides by.
    """

    count: int
    mean: Float64[Tensor, "d"]
    scatter: Float64[Tensor, "d d"]

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
        """Number of features d."""
        return len(self.mean)

    def __add__(self, other: "GaussianMoments") -> "GaussianMoments":
        """Pairwise update of Chan, Golub & LeVeque (1979)."""
        self._require_same_dimension(other)
        n = self.count + other.count
        if n == 0:
            return self
        shift = other.mean - self.mean  # (d,)
        scatter = self.scatter + other.scatter
        scatter = scatter + torch.outer(shift, shift) * (self.count * other.count / n)
        return GaussianMoments(n, self.mean + shift * (other.count / n), scatter)

    def __sub__(self, other: "GaussianMoments") -> "GaussianMoments":
        """The moments that give ``self`` when ``other`` is added to them.

        Raises:
            ValueError: ``other`` holds more samples than ``self``.
        """
        self._require_same_dimension(other)
        n = self.count - other.count
        if n < 0:
            raise ValueError(
                f"moments taken back must be part of the whole, got {other.count} samples "
                f"out of {self.count}"
            )
        if n == 0:
            return GaussianMoments.zero(self.dimension)
        mean = self.mean + (self.mean - other.mean) * (other.count / n)
        shift = other.mean - mean  # (d,)
        scatter = self.scatter - other.scatter
        scatter = scatter - torch.outer(shift, shift) * (n * other.count / self.count)
        return GaussianMoments(n, mean, scatter)

    def covariance(self) -> Float64[Tensor, "d d"]:
        """Unbiased covariance.

        Raises:
            ValueError: fewer than two samples were seen.
        """
        if self.count < 2:
            raise ValueError(f"covariance needs at least 2 samples, got {self.count}")
        return self.scatter / (self.count - 1)

    def raw_sums(self) -> tuple[Float64[Tensor, "d"], Float64[Tensor, "d d"]]:
        """Sum of the samples and sum of their outer products."""
        return self.mean * self.count, self.scatter + self.count * torch.outer(self.mean, self.mean)

    def _require_same_dimension(self, other: "GaussianMoments") -> None:
        if self.dimension != other.dimension:
            raise ValueError(
                f"moments must have the same dimension, got {self.dimension} and {other.dimension}"
            )


def merge(parts: Iterable[GaussianMoments]) -> GaussianMoments:
    """The sum of moments, in the order given; takes one after the other.

    Raises:
        ValueError: there are none, so their dimension is unknown.
    """
    rest = iter(parts)
    total = next(rest, None)
    if total is None:
        raise ValueError("parts must hold at least one set of moments, got none")
    for part in rest:
        total = total + part
    return total
