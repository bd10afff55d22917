"""The Fréchet distance of two sets of images (FID with Inception's features).

By how much single images move the distance gives its standard error, and that of the
difference of two distances whose images are the same. Distances between unions of groups
of images give its extrapolation to infinitely many.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from dot_kernels.gelbrich import gelbrich_distance
from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import GROUPS, FeatureStatistics
from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.uncertainty import influences, optimal_maps

_MOST = 2048
"""Largest number of images of a side that the error is estimated from: it is then known to a
few per cent, and twice as many would cost as much as the distance itself."""

_ALL = range(GROUPS)
_LEFT_OUT = [[group for group in _ALL if group != left_out] for left_out in _ALL]
"""The groups that remain when one of them is left out, for each of them."""

_HALVES = [[*_ALL[: GROUPS // 2]], [*_ALL[GROUPS // 2 :]], [*_ALL[::2]], [*_ALL[1::2]]]
"""Two divisions of the groups into halves: first and last, even and odd."""


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """By how much each of some images moves a Fréchet distance, to first order."""

    draws: Int64[Tensor, "m"]
    """Their draws, each once and in ascending order. They are the smallest ones of a side, and
    so a random part of its images."""
    moves: Float64[Tensor, "m"]
    share: float
    """The share of the side's images that these are."""

    def __sub__(self, other: "Moves") -> "Moves":
        """By how much the images move the difference of two distances."""
        last = min(self._last, other._last)
        sides = self._up_to(last), other._up_to(last)
        together = torch.cat([side.draws for side in sides])
        draws, places = torch.unique(together, return_inverse=True)
        signed = torch.cat([sides[0].moves, -sides[1].moves])
        moves = torch.zeros(len(draws)).to(signed).index_add(0, places, signed)
        return Moves(draws, moves, min(side.share for side in sides))

    def covariance(self, other: "Moves") -> float:
        """The covariance of what the images of both sides move that have the same draw.

        0 where none are known of both sides.
        """
        shared = torch.isin(self.draws, other.draws)
        moves = self.moves[shared], other.moves[torch.isin(other.draws, self.draws)]
        known = len(moves[0])
        spread = float((moves[0] * moves[1]).sum()) / min(self.share, other.share) if known else 0.0
        return spread * known / (known - 1) if known > 1 else spread

    @property
    def _last(self) -> int:
        """The draw up to which all images are known."""
        everything = torch.iinfo(torch.int64).max
        return everything if self.share == 1 else int(self.draws[-1]) if len(self.draws) else -1

    def _up_to(self, draw: int) -> "Moves":
        kept = self.draws <= draw
        if bool(kept.all()):
            return self
        return Moves(self.draws[kept], self.moves[kept], self.share * float(kept.double().mean()))


@dataclass(frozen=True, slots=True, eq=False)
class FrechetDistance:
    """A Fréchet distance of images to a reference, and by how much single ones move it."""

    value: float
    images: Moves
    reference: Moves

    @property
    def error(self) -> float | None:
        """Standard error of ``value``: its spread over other images of the same number.

        It says nothing of the distance's bias. Where the two sets differ by no more than
        chance the distance is of second order, and the error too large by up to √2. None
        where fewer than two images of a side are known.
        """
        return _standard_error(self.images, self.reference)

    def change_from(self, before: "FrechetDistance") -> Estimate:
        """How much larger this distance is than ``before``, with the error of the difference.

        What an image moves in both cancels, so the error is far smaller than that of either
        distance.

        Args:
            before: the distance to the same reference of other versions of the images.
        """
        error = _standard_error(self.images - before.images, self.reference - before.reference)
        return Estimate(self.value - before.value, error)


def frechet_distance(images: FeatureStatistics, reference: FeatureStatistics) -> FrechetDistance:
    """The Fréchet distance of features, FID with Inception's (Heusel et al. 2017).

    Its error is to first order, from the images of the samples, at most 2,048 of each side.
    Images with the same draw count as one, so it is taken into account that an image and its
    own reference have much in common.

    Raises:
        ValueError: one side has fewer than two images, or the dimensions differ.
    """
    ours, theirs = images.moments, reference.moments
    value = gelbrich_distance(ours, theirs)
    forth, back = optimal_maps(ours.covariance(), theirs.covariance())
    return FrechetDistance(
        value, _moves(images, ours, theirs, forth), _moves(reference, theirs, ours, back)
    )


def _moves(
    side: FeatureStatistics,
    whole: GaussianMoments,
    other: GaussianMoments,
    transport: Float64[Tensor, "d d"],
) -> Moves:
    kept = side.draws.argsort()[:_MOST]
    moves = influences(side.features[kept].double(), whole, other, transport)
    return Moves(side.draws[kept], moves, len(kept) / side.count)


def _standard_error(images: Moves, reference: Moves) -> float | None:
    """The root of the variance of the sum of what both sides move."""
    if min(len(images.draws), len(reference.draws)) < 2:
        return None
    own = images.covariance(images) + reference.covariance(reference)
    return math.sqrt(max(0.0, own + 2 * images.covariance(reference)))


def extrapolated_frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float | None:
    """The Fréchet distance of infinitely many images (Chong & Forsyth 2020).

    The expected distance of n images exceeds its limit by about a constant over n. This is
    the intercept at 1/n = 0 of a line, fitted as a function of 1/n to the distances of all
    images, of nine tenths of them, and of halves of them. None where a half, or what a
    group leaves, has fewer than two images on one side.

    Raises:
        ValueError: one side has fewer than two images, or the dimensions differ.
    """
    value = gelbrich_distance(a.moments, b.moments)
    nine_tenths, halves = _distances(a, b, _LEFT_OUT), _distances(a, b, _HALVES)
    if nine_tenths is None or halves is None:
        return None
    return _extrapolated(value, nine_tenths, halves)


def _distances(
    a: FeatureStatistics, b: FeatureStatistics, choices: list[list[int]]
) -> Float64[Tensor, "choices"] | None:
    """The distance for each choice of groups; None if one has fewer than two images."""
    found = []
    for chosen in choices:
        left, right = (merge([side.groups[group] for group in chosen]) for side in (a, b))
        if min(left.count, right.count) < 2:
            return None
        found.append(gelbrich_distance(left, right))
    return torch.tensor(found, dtype=torch.float64)


def _extrapolated(
    value: float, nine_tenths: Float64[Tensor, "groups"], halves: Float64[Tensor, "halves"]
) -> float:
    """Intercept of the weighted least-squares line of the distances over 1/n.

    1/n is in units of one over the number of all images.
    """
    numbers = partial(torch.tensor, dtype=torch.float64)
    sizes = numbers([1.0, *[GROUPS / (GROUPS - 1)] * len(nine_tenths), *[2.0] * len(halves)])
    design = torch.stack([torch.ones_like(sizes), sizes], dim=1)
    # The distances of one size share their images, so together they weigh as one.
    shares = [1.0, *[1 / len(nine_tenths)] * len(nine_tenths), *[1 / len(halves)] * len(halves)]
    root = numbers(shares).sqrt()
    distances = torch.cat([numbers([value]), nine_tenths, halves])
    line = torch.linalg.lstsq(root[:, None] * design, (root * distances)[:, None]).solution
    return float(line[0, 0])
