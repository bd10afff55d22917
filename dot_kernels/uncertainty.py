"""The statistical uncertainty of a transport map, from the moments of single images.

Axes: d features of one latent patch.
"""

from collections.abc import Iterator, Sequence

import torch

from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.transport import solve_map


def map_standard_error(
    source: Sequence[GaussianMoments],
    target: Sequence[GaussianMoments],
    *,
    ridge: float,
    groups: int = 10,
) -> float | None:
    """Standard error of the map's matrix, relative to its distance from the identity.

    Both are Frobenius norms; at 1 the error is as large as all that the map changes. By
    the delete-a-group jackknife (Kott 2001): image i is in group i modulo the number of
    groups on both sides, so an image and its reference are left out together.

    Args:
        source: moments of each restored image, in the order of keys.
        target: moments of each natural image, in the order of keys.
        ridge: as for ``solve_transport``.
        groups: number of groups, unless one side has fewer images.

    Returns:
        The relative error, or None where there are fewer than two groups, no map can be
        solved without one of them, or the mean of these maps is the identity.
    """
    count = min(groups, len(source), len(target))
    if count < 2:
        return None
    maps = []
    sides = (_leaving_one_out(side, count) for side in (source, target))
    for left_source, left_target in zip(*sides, strict=True):
        try:
            maps.append(solve_map(left_source, left_target, ridge=ridge)[0])
        except ValueError:  # too few patches, or only equal ones, are left
            return None
    stacked = torch.stack(maps)  # (count, d, d)
    mean = stacked.mean(dim=0)
    variance = (count - 1) / count * (stacked - mean).square().sum()
    distance = (mean - torch.eye(len(mean)).to(mean)).norm()
    return float(variance.sqrt() / distance) if float(distance) > 0 else None


def _leaving_one_out(images: Sequence[GaussianMoments], count: int) -> Iterator[GaussianMoments]:
    """Moments of all images but those of one group, for each of ``count`` groups."""
    groups = [merge(images[group::count]) for group in range(count)]
    for group in range(count):
        yield merge([*groups[:group], *groups[group + 1 :]])
