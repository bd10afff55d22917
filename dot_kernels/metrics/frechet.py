"""The Fréchet distance of two sets of images (FID with Inception's features).

Distances between parts of the two sets give the standard error of the distance, and
its extrapolation to infinitely many images.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.gelbrich import gelbrich_distance
from dot_kernels.metrics.estimates import FrechetEstimate
from dot_kernels.metrics.feature_statistics import GROUPS, FeatureStatistics
from dot_kernels.moments import merge

_ALL = range(GROUPS)
_LEFT_OUT = [[group for group in _ALL if group != left_out] for left_out in _ALL]
"""The groups that remain when one of them is left out, for each of them."""

_HALVES = [[*_ALL[: GROUPS // 2]], [*_ALL[GROUPS // 2 :]], [*_ALL[::2]], [*_ALL[1::2]]]
"""Two divisions of the groups into halves: first and last, even and odd."""


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> FrechetEstimate:
    """The Fréchet distance of features, FID with Inception's (Heusel et al. 2017).

    The error is that of a jackknife over the groups of images; a group is left out of
    both sets at once. The expected distance of n images exceeds its limit by about a
    constant over n (Chong & Forsyth 2020): ``extrapolated`` is the intercept at 1/n = 0
    of a line, fitted as a function of 1/n to the distances of all images, of nine
    tenths of them, and of halves of them. Both are None where a half, or what a group
    leaves, has fewer than two images on one side.

    Raises:
        ValueError: one side has fewer than two images, or the dimensions differ.
    """
    value = gelbrich_distance(a.moments, b.moments)
    nine_tenths, halves = _distances(a, b, _LEFT_OUT), _distances(a, b, _HALVES)
    if nine_tenths is None or halves is None:
        return FrechetEstimate(value, None, None)
    return FrechetEstimate(
        value, _jackknife_error(nine_tenths), _extrapolated(value, nine_tenths, halves)
    )


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


def _jackknife_error(left_out: Float64[Tensor, "groups"]) -> float:
    """Standard error from the distances with one group left out (delete-a-group jackknife)."""
    variance = (GROUPS - 1) / GROUPS * (left_out - left_out.mean()).square().sum()
    return float(variance.sqrt())


def _extrapolated(
    value: float, nine_tenths: Float64[Tensor, "groups"], halves: Float64[Tensor, "halves"]
) -> float:
    """Intercept of the weighted least-squares line of the distances over 1/n.

    1/n is in units of one over the number of all images.
    """
    sizes = [1.0, *[GROUPS / (GROUPS - 1)] * len(nine_tenths), *[2.0] * len(halves)]
    design = torch.stack([torch.ones(len(sizes)), torch.tensor(sizes)], dim=1).double()
    # The distances of one size share their images, so together they weigh as one.
    shares = [1.0, *[1 / len(nine_tenths)] * len(nine_tenths), *[1 / len(halves)] * len(halves)]
    root = torch.tensor(shares).double().sqrt()
    distances = torch.cat([torch.tensor([value]).double(), nine_tenths, halves])
    line = torch.linalg.lstsq(root[:, None] * design, (root * distances)[:, None]).solution
    return float(line[0, 0])
