"""Statistics of the features of a set of images, as fidelity metrics need them.

Axes: n images, m images of the sample, d features of one image.

The statistics of two sets add up to those of their union: moments of ten groups of
images and a sample of bounded size, so their memory does not grow with the number of
images. The group of an image, and whether the sample keeps it, follow from its draw: a
number that is computed from the image's key and looks random. Neither the order of
the images nor their division into shards can therefore change the result, but for the
rounding of sums.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from dot_kernels.moments import GaussianMoments, merge

GROUPS = 10
"""How many groups the images fall into: an image belongs to group draw mod GROUPS. The
extrapolated Fréchet distance leaves one group out, the errors of precision and recall come
from halves of them, and the Inception Score averages over them."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """Moments of each group of images, and a sample of the images' features.

    The sample consists of the images with the smallest draws, at most ``capacity`` of
    them. A commutative monoid under ``+``, except that the rows of the sample stand in
    the order of addition.
    """

    groups: tuple[GaussianMoments, ...]
    features: Float32[Tensor, "m d"]
    """Features of the sample, one image in each row."""
    draws: Int64[Tensor, "m"]
    """Draws of the sample, in the order of ``features``."""
    capacity: int

    @classmethod
    def of(
        cls, features: Float32[Tensor, "n d"], draws: Int64[Tensor, "n"], *, capacity: int
    ) -> "FeatureStatistics":
        """Statistics of some images.

        Args:
            features: one image in each row.
            draws: for each image a number from 0 to 2⁶³ − 1 that depends on its key only.
            capacity: the largest number of images that the sample keeps.

        Raises:
            ValueError: a feature is not finite.
        """
        group = draws % GROUPS
        groups = tuple(GaussianMoments.of(features[group == g]) for g in range(GROUPS))
        return cls.with_sample(groups, features, draws, capacity=capacity)

    @classmethod
    def with_sample(
        cls,
        groups: tuple[GaussianMoments, ...],
        features: Float32[Tensor, "n d"],
        draws: Int64[Tensor, "n"],
        *,
        capacity: int,
    ) -> "FeatureStatistics":
        """Statistics of images of which moments and a sample are known.

        Args:
            groups: moments of each group of images.
            features: of those with the smallest draws, at least ``capacity`` if there are as many.
            draws: of these.
            capacity: the largest number of images that the sample keeps.
        """
        if len(draws) > capacity:
            kept = draws.argsort(stable=True)[:capacity].sort().values
            features, draws = features[kept], draws[kept]
        return cls(groups, features, draws, capacity)

    def __add__(self, other: "FeatureStatistics") -> "FeatureStatistics":
        """Statistics of both sets together.

        Raises:
            ValueError: their capacities or dimensions differ.
        """
        if self.capacity != other.capacity:
            raise ValueError(
                f"samples must have one capacity, got {self.capacity} and {other.capacity}"
            )
        groups = tuple(a + b for a, b in zip(self.groups, other.groups, strict=True))
        features = torch.cat([self.features, other.features])
        draws = torch.cat([self.draws, other.draws])
        return self.with_sample(groups, features, draws, capacity=self.capacity)

    @property
    def moments(self) -> GaussianMoments:
        """Moments of the features of all images, not only of the sample."""
        return merge(self.groups)

    @property
    def count(self) -> int:
        """Number of all images, not only of those in the sample."""
        return sum(group.count for group in self.groups)
