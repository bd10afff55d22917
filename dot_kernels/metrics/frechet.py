"""The Fréchet distance of two sets of images (FID with Inception's features).

Moments of groups of images give the standard error of the distance, and distances between
unions of them its extrapolation to infinitely many images.
"""

from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.gelbrich import gelbrich_distance
from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import GROUPS, FeatureStatistics
from dot_kernels.moments import merge
from dot_kernels.uncertainty import distance_standard_error

_ALL = range(GROUPS)
_LEFT_OUT = [[group for group in _ALL if group != left_out] for left_out in _ALL]
"""The groups that remain when one of them is left out, for each of them."""

_HALVES = [[*_ALL[: GROUPS // 2]], [*_ALL[GROUPS // 2 :]], [*_ALL[::2]], [*_ALL[1::2]]]
"""Two divisions of the groups into halves: first and last, even and odd."""


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> Estimate:
    """The Fréchet distance of features, FID with Inception's (Heusel et al. 2017).

    The error is to first order, from the groups of images; images with the same key are in
    the same group on both sides, so what pairs have in common is taken into account. It is
    None where images fall into one group only.

    Raises:
        ValueError: one side has fewer than two images, or the dimensions differ.
    """
    value = gelbrich_distance(a.moments, b.moments)
    return Estimate(value, distance_standard_error(a.groups, b.groups))


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
