"""How far a transport map is to be trusted, from the moments of single images.

Axes: d features of one latent patch.
"""

from collections.abc import Sequence

import torch

from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.transport import solve_transport


def map_standard_error(
    source: Sequence[GaussianMoments],
    target: Sequence[GaussianMoments],
    *,
    ridge: float,
    groups: int = 10,
) -> float | None:
    """Jackknife standard error of the map, relative to its distance from the identity.

    1 says that the map is no better known than doing nothing. Images are left out in
    ``groups`` interleaved groups (delete-a-group jackknife, Kott 2001), on both sides
    the same ones, so that pairs stay together.

    Args:
        source: moments of each restored image, in the order of keys.
        target: moments of each natural image, in the order of keys.
        ridge: as for ``solve_transport``.
        groups: at most so many; never more than there are images.

    Returns:
        The error, or None where there are fewer than two groups, or no map can be
        fitted without one of them.
    """
    count = min(groups, len(source), len(target))
    if count < 2:
        return None
    sides = [[merge(side[group::count]) for group in range(count)] for side in (source, target)]
    maps = []
    for group in range(count):
        left = [merge([*side[:group], *side[group + 1 :]]) for side in sides]
        try:
            maps.append(solve_transport(left[0], left[1], ridge=ridge).matrix)
        except ValueError:  # too few patches, or only equal ones, are left
            return None
    stacked = torch.stack(maps)
    mean = stacked.mean(dim=0)
    variance = (count - 1) / count * (stacked - mean).square().sum()
    distance = (mean - torch.eye(len(mean)).to(mean)).norm()
    return float(variance.sqrt() / distance) if float(distance) > 0 else None
