"""What people prefer, from their votes: pairs with an interval, and all versions on one scale.

A vote for neither is half a vote for each. The interval of a pair is Wilson's (1927), which
inverts the score test and so is right for few votes and for shares near 0 and 1. Votes on one
image resemble each other, so their number is divided by the design effect: the variance of the
share over images (each with all its votes) over that of independent votes, where that is more
than 1 (Kish 1965; Korn and Graubard 1998).

Several versions are put on one scale by the model of Bradley and Terry (1952): that i is
preferred to j has the odds exp(θ_i − θ_j). θ maximises the likelihood times a normal prior of
mean 0 and deviation ``PRIOR_SD``, without which a version that won all its votes would be
infinitely good, and versions that were never compared would have no order. Errors are from the
curvature, or from the scatter over images (White 1982) where that is larger.

Both speak of the people who voted, and of images like those that they saw.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.view.votes import Vote

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution: intervals are of 95 %."""

PRIOR_SD = 2.0
"""Deviation of the prior of θ: odds of up to 7 to 1 against the mean version are within one."""

_STEPS = 100
"""Newton steps at most; the likelihood is concave, and ten are rarely needed."""


class Preference(NamedTuple):
    """How often the first of two versions was preferred to the second, with an interval of 95 %."""

    first: str
    second: str
    first_wins: int
    second_wins: int
    same: int
    images: int
    voters: int
    share: float
    """Of the votes that are for the first, those for neither being half a vote for each."""
    low: float
    high: float
    effective: float
    """So many independent votes would know the share as well."""


class Strength(NamedTuple):
    """How strong a version is: the chance to be preferred to the mean one, with its interval."""

    name: str
    votes: int
    """In which it was one of the two."""
    share: float
    low: float
    high: float


def wilson(share: float, votes: float) -> tuple[float, float]:
    """Return Wilson's interval of 95 % for a share of so many votes, which must be more than 0.

    >>> [round(end, 4) for end in wilson(8 / 10, 10)]
    [0.4902, 0.9433]
    """
    spread = Z * math.sqrt(share * (1 - share) / votes + Z * Z / (4 * votes * votes))
    middle, width = share + Z * Z / (2 * votes), 1 + Z * Z / votes
    return max(0.0, (middle - spread) / width), min(1.0, (middle + spread) / width)


def preferences(votes: Iterable[Vote], order: Sequence[str]) -> list[Preference]:
    """Return each pair of versions that was compared.

    Args:
        votes: of anybody.
        order: names of versions; the one that comes first here is the first of a pair, and others
            come behind these by their names.
    """
    places = {name: place for place, name in enumerate(order)}
    pairs: defaultdict[tuple[str, str], list[Vote]] = defaultdict(list)
    for vote in votes:
        ends = sorted((vote.left, vote.right), key=lambda n: (places.get(n, len(places)), n))
        pairs[ends[0], ends[1]].append(vote)
    ranked = sorted(pairs, key=lambda pair: [(places.get(n, len(places)), n) for n in pair])
    return [_preference(pair, pairs[pair]) for pair in ranked]


def strengths(votes: Sequence[Vote]) -> list[Strength]:
    """Return the versions that were compared, the strongest first."""
    names = sorted({name for vote in votes for name in (vote.left, vote.right)})
    if not names:
        return []
    at = {name: number for number, name in enumerate(names)}
    ends = np.array([(at[vote.left], at[vote.right]) for vote in votes])
    scores = np.array([score_of(vote, vote.left) for vote in votes])
    theta, curvature = _fitted(ends, scores, len(names))
    errors = np.sqrt(_variances(ends, scores, theta, curvature, [vote.key for vote in votes]))
    counts = np.bincount(ends.ravel(), minlength=len(names))
    found = [
        Strength(name, int(n), _logistic(t), _logistic(t - Z * e), _logistic(t + Z * e))
        for name, n, t, e in zip(names, counts, theta, errors, strict=True)
    ]
    return sorted(found, key=lambda strength: (-strength.share, strength.name))


def score_of(vote: Vote, name: str) -> float:
    """Return 1 where a vote is for a version, 0 where it is for the other, ½ for neither."""
    if vote.choice == "same":
        return 0.5
    return float(getattr(vote, vote.choice) == name)


def _preference(pair: tuple[str, str], votes: Sequence[Vote]) -> Preference:
    first, second = pair
    scores = np.array([score_of(vote, first) for vote in votes])
    share, keys = float(scores.mean()), [vote.key for vote in votes]
    effective = _effective(scores, keys)
    return Preference(
        first,
        second,
        int((scores == 1).sum()),
        int((scores == 0).sum()),
        int((scores == 0.5).sum()),
        len(set(keys)),
        len({vote.voter for vote in votes}),
        share,
        *wilson(share, effective),
        effective,
    )


def _effective(scores: NDArray[np.float64], keys: Sequence[str]) -> float:
    """How many independent votes know the mean of these scores as well as these, at most.

    Where all agree, or all are on one image, nothing tells how much votes on an image resemble
    each other, so only the images count.
    """
    count, share = len(scores), scores.mean()
    residuals = _summed(scores[:, None] - share, keys)[:, 0]
    images = len(residuals)
    independent = count / max(1, count - 1) * count * share * (1 - share)
    if images < 2 or independent == 0:
        return float(images)
    clustered = images / (images - 1) * float((residuals**2).sum())
    return float(count / max(1.0, clustered / independent))


def _fitted(
    ends: NDArray[np.int64], scores: NDArray[np.float64], versions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """θ of every version, and the curvature there, by Newton's method."""
    theta, pull = np.zeros(versions), 1 / PRIOR_SD**2
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(theta[ends[:, 1]] - theta[ends[:, 0]]))
        gradient = _gradients(ends, scores - chance, versions).sum(axis=0) - pull * theta
        curvature = _curvature(ends, chance * (1 - chance), versions) + pull * np.eye(versions)
        step = np.linalg.solve(curvature, gradient)
        theta = theta + step / max(1.0, float(np.abs(step).max()))  # at most 1, far from the top
        if float(np.abs(step).max()) < 1e-10:
            break
    return theta, curvature


def _variances(
    ends: NDArray[np.int64],
    scores: NDArray[np.float64],
    theta: NDArray[np.float64],
    curvature: NDArray[np.float64],
    keys: Sequence[str],
) -> NDArray[np.float64]:
    """The variance of each θ less their mean, which is 0 but known no better than the prior.

    It is from the curvature, or from the scatter over images where that is larger.
    """
    centring = np.eye(len(theta)) - 1 / len(theta)
    inverse = centring @ np.linalg.inv(curvature) @ centring
    chance = 1 / (1 + np.exp(theta[ends[:, 1]] - theta[ends[:, 0]]))
    sums = _summed(_gradients(ends, scores - chance, len(theta)), keys)
    images = len(sums)
    if images < 2:
        return np.diag(inverse)
    scattered = inverse @ (sums.T @ sums) @ inverse * (images / (images - 1))
    return np.maximum(np.diag(inverse), np.diag(scattered))


def _gradients(
    ends: NDArray[np.int64], residuals: NDArray[np.float64], versions: int
) -> NDArray[np.float64]:
    """The part (n, versions) of each vote in the gradient: its residual, less that at the right."""
    gradients = np.zeros((len(ends), versions))
    rows = np.arange(len(ends))
    gradients[rows, ends[:, 0]] += residuals
    gradients[rows, ends[:, 1]] -= residuals
    return gradients


def _curvature(
    ends: NDArray[np.int64], weights: NDArray[np.float64], versions: int
) -> NDArray[np.float64]:
    """The curvature of the likelihood: a Laplacian with the variances of votes as weights."""
    curvature = np.zeros((versions, versions))
    for left, right, sign in ((0, 0, 1), (1, 1, 1), (0, 1, -1), (1, 0, -1)):
        np.add.at(curvature, (ends[:, left], ends[:, right]), sign * weights)
    return curvature


def _summed(values: NDArray[np.float64], keys: Sequence[str]) -> NDArray[np.float64]:
    """The rows of values (n, d) added up for each image (images, d)."""
    _, places = np.unique(np.array(keys), return_inverse=True)
    sums = np.zeros((int(places.max()) + 1, values.shape[1]))
    np.add.at(sums, places.ravel(), values)
    return sums


def _logistic(value: float) -> float:
    return float(1 / (1 + math.exp(-value)))
