"""Fidelity metrics of two sets of images, from the features of a network.

Axes: n images, m images of another set, d features, c classes, g groups.

Everything that grows with the data is a value with ``+``: moments of groups of images,
a bounded sample, probability sums. So a billion images need the memory of a thousand.
Which group an image is in and whether the sample has it follow from a draw, a number
that belongs to its key: neither sharding nor order can change the answer.
"""

import itertools
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from dot_kernels.moments import GaussianMoments
from dot_kernels.transport import gelbrich_distance

GROUPS = 10
"""Of images, by their draws: the jackknife leaves one out, the Inception Score splits."""

KERNEL_SUBSETS, KERNEL_SUBSET_SIZE = 100, 1000
"""How many subsets of how many images the kernel distance averages (Bińkowski 2018)."""


class Estimate(NamedTuple):
    """A number, and how much it would move with other images; None where unknown."""

    value: float
    error: float | None


class FrechetEstimate(NamedTuple):
    """A Fréchet distance: the value, its standard error, and its limit of many images."""

    value: float
    error: float | None
    extrapolated: float | None


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """What fidelity metrics need to know of a set of images.

    A commutative monoid under ``+``; the sample's rows are in the order of addition.
    """

    groups: tuple[GaussianMoments, ...]
    features: Float32[Tensor, "m d"]
    """Those with the smallest draws, at most ``capacity`` of them."""
    draws: Int64[Tensor, "m"]
    capacity: int

    @classmethod
    def of(
        cls, features: Float32[Tensor, "n d"], draws: Int64[Tensor, "n"], *, capacity: int
    ) -> "FeatureStatistics":
        """Statistics of some images.

        Args:
            features: a row an image.
            draws: a number from 0 to 2⁶³ − 1 that belongs to each image's key.
            capacity: the sample keeps at most so many images.
        """
        group = draws % GROUPS
        groups = tuple(GaussianMoments.of(features[group == g]) for g in range(GROUPS))
        return cls(groups, *_smallest(features, draws, capacity), capacity)

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
        return FeatureStatistics(
            groups, *_smallest(features, draws, self.capacity), capacity=self.capacity
        )

    @property
    def moments(self) -> GaussianMoments:
        """Of all images."""
        return _merged(self.groups)

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(group.count for group in self.groups)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> FrechetEstimate:
    """The Fréchet distance of features, FID with Inception's (Heusel et al. 2017).

    The error is a jackknife over the groups of images, left out on both sides at once.
    The distance of n images is too large by about a constant over n (Chong & Forsyth
    2020): ``extrapolated`` is where a line through the distances of all, of nine tenths and
    of halves of the images, as a function of 1/n, meets 1/n = 0.

    Raises:
        ValueError: one side has fewer than two images.
    """
    value = gelbrich_distance(a.moments, b.moments)
    sides = a.groups, b.groups
    left_out = [_distance(sides, [h for h in range(GROUPS) if h != g]) for g in range(GROUPS)]
    halves = [_distance(sides, half) for half in _halves()]
    rest, half = _known(left_out), _known(halves)
    if rest is None or half is None:
        return FrechetEstimate(value, None, None)
    variance = (GROUPS - 1) / GROUPS * (rest - rest.mean()).square().sum()
    sizes = [1.0, *[GROUPS / (GROUPS - 1)] * GROUPS, *[2.0] * len(halves)]
    design = torch.stack([torch.ones(len(sizes)), torch.tensor(sizes)], dim=1).double()
    # One weight a size, as the distances of one size share their images.
    weights = torch.tensor([1.0, *[1 / GROUPS] * GROUPS, *[1 / len(halves)] * len(halves)])
    root = weights.double().sqrt()
    known = torch.cat([torch.tensor([value]).double(), rest, half])
    line = torch.linalg.lstsq(root[:, None] * design, (root * known)[:, None]).solution
    return FrechetEstimate(value, float(variance.sqrt()), float(line[0, 0]))


def kernel_distance(
    features: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    *,
    subset_size: int = KERNEL_SUBSET_SIZE,
    seed: int = 2020,
) -> Estimate | None:
    """The kernel distance of features, KID with Inception's (Bińkowski et al. 2018).

    The unbiased squared maximum mean discrepancy under (xᵀy / d + 1)³, averaged over
    random subsets, as torch-fidelity computes it; the error is the standard deviation
    over the subsets. None where a side has fewer than ``subset_size`` images.
    """
    if min(len(features), len(reference)) < subset_size or subset_size < 2:
        return None
    from torch_fidelity.metric_kid import kid_features_to_metric  # loads torchvision

    answer = kid_features_to_metric(
        features.double(),
        reference.double(),
        kid_subsets=KERNEL_SUBSETS,
        kid_subset_size=subset_size,
        rng_seed=seed,
        verbose=False,
    )
    return Estimate(
        answer["kernel_inception_distance_mean"], answer["kernel_inception_distance_std"]
    )


def pairing_bias(a: FeatureStatistics, b: FeatureStatistics) -> float | None:
    """What shared keys add to the kernel distance: a negative number, to be subtracted.

    Its cross term −2 E k(x, y) assumes independent sets, but k(xᵢ, yᵢ) of an image and
    its own reference is large, as they are alike, and the distance comes out too small.
    With the mean of k over all pairs, c, and over all but these, c′, the addition is
    2(c′ − c). None where no key is shared.
    """
    place = {draw: row for row, draw in enumerate(b.draws.tolist())}
    shared = [(row, place[d]) for row, d in enumerate(a.draws.tolist()) if d in place]
    others = len(a.draws) * len(b.draws) - len(shared)
    if not shared or others == 0:
        return None
    ours, theirs = (list(side) for side in zip(*shared, strict=True))
    x, y = a.features.double(), b.features.double()
    parts = (x[start : start + 1024] for start in range(0, len(x), 1024))
    everything = sum((float(_cubic(part @ y.mT, x.shape[1]).sum()) for part in parts), 0.0)
    own = float(_cubic((x[ours] * y[theirs]).sum(dim=1), x.shape[1]).sum())
    return 2 * ((everything - own) / others - everything / (others + len(shared)))


def kernel_subset_size(images: int, reference: int) -> int:
    """1000 images, or half of the smaller side, so that subsets can differ."""
    return min(KERNEL_SUBSET_SIZE, min(images, reference) // 2)


def precision_recall(
    features: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], *, neighbours: int = 3
) -> tuple[float, float] | None:
    """Precision and recall of Kynkäänniemi et al. 2019, as torch-fidelity computes them.

    Precision is the share of images that lie within reach of a reference image, as far
    as its third neighbour; recall the same the other way round. None where a side has
    no more than ``neighbours`` images.
    """
    if min(len(features), len(reference)) <= neighbours:
        return None
    from torch_fidelity.metric_prc import prc_features_to_metric  # loads torchvision

    answer = prc_features_to_metric(
        features,
        reference,
        prc_neighborhood=neighbours,
        prc_batch_size=2048,
        save_cpu_ram=True,
        verbose=False,
    )
    return answer["precision"], answer["recall"]


@dataclass(frozen=True, slots=True, eq=False)
class ClassSums:
    """Sums over images of class probabilities p, and of Σ p log p, for each group.

    A commutative monoid under ``+``, but for rounding.
    """

    counts: Int64[Tensor, "g"]
    probabilities: Float64[Tensor, "g c"]
    negative_entropies: Float64[Tensor, "g"]

    @classmethod
    def of(cls, logits: Float32[Tensor, "n c"], draws: Int64[Tensor, "n"]) -> "ClassSums":
        """Sums of some images; ``draws`` as for ``FeatureStatistics``."""
        log_p = logits.double().log_softmax(dim=1)
        p = log_p.exp()
        group = draws % GROUPS
        zeros = log_p.new_zeros(GROUPS)
        return cls(
            torch.bincount(group, minlength=GROUPS),
            log_p.new_zeros(GROUPS, logits.shape[1]).index_add(0, group, p),
            zeros.index_add(0, group, (p * log_p).sum(dim=1)),
        )

    def __add__(self, other: "ClassSums") -> "ClassSums":
        """Sums of both sets together."""
        return ClassSums(
            self.counts + other.counts,
            self.probabilities + other.probabilities,
            self.negative_entropies + other.negative_entropies,
        )


def inception_score(sums: ClassSums) -> Estimate | None:
    """The Inception Score of Salimans et al. 2016, exp E KL(p(y|x) ‖ p(y)).

    The mean over the groups, which are the ten splits; the error is the standard
    deviation over them. None where a group is empty.
    """
    if not bool((sums.counts > 0).all()):
        return None
    count = sums.counts.double()
    marginal = sums.probabilities / count[:, None]  # (g, c)
    divergence = sums.negative_entropies / count - torch.xlogy(marginal, marginal).sum(dim=1)
    scores = divergence.exp()
    return Estimate(float(scores.mean()), float(scores.std(correction=0)))


def _cubic(products: Float64[Tensor, "..."], dimension: int) -> Float64[Tensor, "..."]:
    """The polynomial kernel of KID, of inner products."""
    return (products / dimension + 1) ** 3


def _merged(groups: tuple[GaussianMoments, ...] | list[GaussianMoments]) -> GaussianMoments:
    return reduce(GaussianMoments.__add__, groups)


def _distance(
    sides: tuple[tuple[GaussianMoments, ...], tuple[GaussianMoments, ...]], chosen: list[int]
) -> float | None:
    """The distance of some groups of either side, if both have two images in them."""
    a, b = (_merged([side[group] for group in chosen]) for side in sides)
    return gelbrich_distance(a, b) if min(a.count, b.count) > 1 else None


def _halves() -> list[list[int]]:
    """Two ways to cut the groups into halves."""
    everything = list(range(GROUPS))
    cuts = [everything[: GROUPS // 2], everything[::2]]
    return list(
        itertools.chain.from_iterable(
            (cut, [g for g in everything if g not in cut]) for cut in cuts
        )
    )


def _known(values: list[float | None]) -> Float64[Tensor, "k"] | None:
    """All of the values, or None if one is missing."""
    found = [value for value in values if value is not None]
    return torch.tensor(found, dtype=torch.float64) if len(found) == len(values) else None


def _smallest(
    features: Float32[Tensor, "n d"], draws: Int64[Tensor, "n"], capacity: int
) -> tuple[Float32[Tensor, "m d"], Int64[Tensor, "m"]]:
    """The rows with the smallest draws, in the order they are in."""
    if len(draws) <= capacity:
        return features, draws
    kept = draws.argsort(stable=True)[:capacity].sort().values
    return features[kept], draws[kept]
