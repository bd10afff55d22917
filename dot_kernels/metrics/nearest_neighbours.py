"""Precision and recall of a set of images, from nearest neighbours among features.

Axes: n images, m images of another set, d features of one image, c choices of groups of
images, of which the last is all of them.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import GROUPS, FeatureStatistics

_ENTRIES_AT_ONCE = 1 << 20
"""Distances that are held in memory at once."""

_ROUNDING = 1e-12
"""What rounding adds to a squared distance at most, as a share of the largest squared norm."""


def _splits() -> list[list[int]]:
    """Halves of the ten groups, each followed by its other half.

    Of these 18 splits every two groups are on one side in 8: a balanced design, so that for
    a mean over images the splits give just the variance between groups.
    """
    last, halves = GROUPS - 1, list[list[int]]()
    for first in ((0, 1, 2, 4, last), (0, 1, 3, 5, 6)):
        for turn in range(last):  # all but the last group move on round a circle
            half = {group if group == last else (group + turn) % last for group in first}
            halves += [sorted(half), sorted({*range(GROUPS)} - half)]
    return halves


_CHOICES = [*_splits(), [*range(GROUPS)]]
"""The groups that are taken together: the halves of every split, and all."""


class PrecisionRecall(NamedTuple):
    """Precision and recall, in [0, 1], with their standard errors."""

    precision: Estimate
    recall: Estimate


def precision_recall(
    images: FeatureStatistics, reference: FeatureStatistics, *, neighbours: int = 3
) -> PrecisionRecall | None:
    """Precision and recall of Kynkäänniemi et al. 2019, of the samples' images.

    Precision is the share of images that lie within the radius of some reference image;
    the radius of an image is the Euclidean distance to its ``neighbours``-th nearest
    neighbour in its own set. Recall is the same with the sets exchanged. Images with one
    key are an image and its own reference: unlike in the paper, whose sets are independent,
    neither may be the one that holds the other, as it would whatever the image's quality.
    Radii are from within one set, and the same as in the paper.

    The errors are found from halves: by how much the shares of two halves differ that have
    no image in common, and none whose key the other has. They assume that the variance of a
    share is inverse to the number of images, and that images of different keys are
    independent; they say nothing of how the shares themselves depend on that number. (A
    jackknife is up to twice too large here: which ball holds an image is no smooth function.)

    Args:
        images: whose sample is rated.
        reference: whose sample it is compared with.
        neighbours: which neighbour gives the radius; 3 in the paper.

    Returns:
        Both shares, or None where a sample has no more than ``neighbours`` images. The
        errors are None where a half has no more than that.

    Raises:
        ValueError: the dimensions differ.
    """
    images.groups[0].require_same_dimension(reference.groups[0])
    if min(len(images.draws), len(reference.draws)) <= neighbours:
        return None
    held = _held_by_the_other(images, reference, neighbours)
    groups = [side.draws % GROUPS for side in (images, reference)]
    has_error = min(map(_fewest, groups)) > neighbours
    return PrecisionRecall(
        _share(held[0], groups[0], has_error=has_error),
        _share(held[1], groups[1], has_error=has_error),
    )


def _held_by_the_other(
    images: FeatureStatistics, reference: FeatureStatistics, neighbours: int
) -> tuple[Bool[Tensor, "n c"], Bool[Tensor, "m c"]]:
    """Which images a reference image has within its radius, and which of these an image has."""
    origin = reference.features.double().mean(dim=0)  # differences lose no digits near it
    x, y = (side.features.double() - origin for side in (images, reference))
    slack = _ROUNDING * max(_squared_norms(side).max() for side in (x, y))
    reach_x = _reaches(x, images.draws % GROUPS, neighbours) + slack
    reach_y = _reaches(y, reference.draws % GROUPS, neighbours) + slack
    return _held(x, y, reach_x, reach_y, _rows_of(images.draws, reference.draws))


def _held(
    x: Float64[Tensor, "n d"],
    y: Float64[Tensor, "m d"],
    reach_x: Float64[Tensor, "n c"],
    reach_y: Float64[Tensor, "m c"],
    own: Int64[Tensor, "n"],
) -> tuple[Bool[Tensor, "n c"], Bool[Tensor, "m c"]]:
    """Which points of x lie within reach of one of y, and which of y of one of x.

    ``own`` is the row of y that does not count for a point of x, nor the other way round;
    −1 where all count.
    """
    in_y = torch.zeros_like(reach_x, dtype=torch.bool)
    in_x = torch.zeros_like(reach_y, dtype=torch.bool)
    for part in _parts(len(x), len(y)):
        apart = _squared_distances(x[part], y)  # (b, m)
        paired = (own[part] >= 0).nonzero(as_tuple=True)[0]
        apart[paired, own[part][paired]] = math.inf
        for choice in range(reach_x.shape[1]):
            in_y[part, choice] = (apart <= reach_y[:, choice]).any(dim=1)
            in_x[:, choice] |= (apart <= reach_x[part, choice, None]).any(dim=0)
    return in_y, in_x


def _reaches(
    points: Float64[Tensor, "n d"], groups: Int64[Tensor, "n"], neighbours: int
) -> Float64[Tensor, "n c"]:
    """Squared radius of each point within each choice of groups.

    Minus infinity where the point itself is not chosen: it holds nothing.
    """
    found = []
    members = [(groups == group).nonzero(as_tuple=True)[0] for group in range(GROUPS)]
    for part in _parts(len(points), len(points)):
        apart = _squared_distances(points[part], points)  # (b, n), itself among them
        nearest = apart.new_full((len(apart), GROUPS, neighbours + 1), math.inf)
        for group, rows in enumerate(members):
            count = min(neighbours + 1, len(rows))
            nearest[:, group, :count] = apart[:, rows].topk(count, largest=False).values
        columns = [
            nearest[:, choice].flatten(1).kthvalue(neighbours + 1).values for choice in _CHOICES
        ]
        found.append(torch.stack(columns, dim=1))
    return torch.cat(found).masked_fill(~_is_chosen(groups), -math.inf)


def _share(held: Bool[Tensor, "n c"], groups: Int64[Tensor, "n"], *, has_error: bool) -> Estimate:
    """The share of points that are held, and its error from the shares in the halves."""
    chosen = _is_chosen(groups)
    shares = (held & chosen).sum(dim=0).double() / chosen.sum(dim=0)
    if not has_error:
        return Estimate(float(shares[-1]), None)
    apart = shares[:-1].reshape(-1, 2).diff(dim=1)  # half of a split less the other
    return Estimate(float(shares[-1]), float(apart.square().mean().sqrt() / 2))


def _fewest(groups: Int64[Tensor, "n"]) -> int:
    """The number of points in the smallest half."""
    return int(_is_chosen(groups).sum(dim=0).min())


def _is_chosen(groups: Int64[Tensor, "n"]) -> Bool[Tensor, "n c"]:
    """Which points belong to which choice."""
    columns = [torch.isin(groups, torch.tensor(choice)) for choice in _CHOICES]
    return torch.stack(columns, dim=1)


def _rows_of(draws: Int64[Tensor, "n"], others: Int64[Tensor, "m"]) -> Int64[Tensor, "n"]:
    """For each draw the row of the same one among others; −1 where there is none."""
    row_of = {draw: row for row, draw in enumerate(others.tolist())}
    return torch.tensor([row_of.get(draw, -1) for draw in draws.tolist()])


def _squared_distances(
    x: Float64[Tensor, "b d"], y: Float64[Tensor, "m d"]
) -> Float64[Tensor, "b m"]:
    sums = _squared_norms(x)[:, None] + _squared_norms(y)
    return sums.addmm_(x, y.mT, alpha=-2).clamp_(min=0)


def _squared_norms(points: Float64[Tensor, "n d"]) -> Float64[Tensor, "n"]:
    norms: Tensor = torch.linalg.vector_norm(points, dim=1)
    return norms.square()


def _parts(rows: int, columns: int) -> list[slice]:
    """Pieces of so many rows, whose distances to so many columns are held at once."""
    at_once = max(1, _ENTRIES_AT_ONCE // columns)
    return [slice(start, start + at_once) for start in range(0, rows, at_once)]
