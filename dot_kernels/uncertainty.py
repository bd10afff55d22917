"""The statistical uncertainty of a transport map and of the distance between Gaussians.

Both are found from the moments of parts of the samples: of single images, or of groups.

Axes: d features of one sample, such as a latent patch; r columns of a factor.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from dot_kernels.moments import GaussianMoments, merge
from dot_kernels.spd import factor
from dot_kernels.transport import solve_map

_EMPTY = 1e-10
"""Share of the largest eigenvalue below which one of the product of covariances is left out:
rounding could change it by a millionth or more, and with it a direction's part of the map."""


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


def distance_standard_error(
    a: Sequence[GaussianMoments], b: Sequence[GaussianMoments]
) -> float | None:
    """Standard error of ``gelbrich_distance`` between the union of a and the union of b.

    To first order, a sample x of a moves the distance by its influence

        (x − μ_a)ᵀ(I − T)(x − μ_a) + 2(μ_a − μ_b)ᵀ(x − μ_a),  less the mean of that over a,

    divided by the number of samples, where T = Σ_a^−½(Σ_a^½ Σ_b Σ_a^½)^½ Σ_a^−½ is the optimal
    map from a to b; a sample of b likewise with the map from b to a. The error is the spread
    of the sums over groups: that of the distance over other samples of the same size. It
    says nothing of the distance's bias, which is large with few samples for a feature, and
    above all with fewer samples than features. Where the two sides differ by no more than
    chance, the distance is of second order, and the error too large by up to √2.

    Args:
        a: moments of disjoint groups of samples, which are independent of each other.
        b: the same of the other side; its group i may depend on group i of a, such as
            images on their references, but on no other.

    Returns:
        The error, in the unit of the distance, or None where fewer than two groups have
        samples, or one side has fewer than two samples.

    Raises:
        ValueError: the sides have not as many groups, or the dimensions differ.
    """
    if len(a) != len(b):
        raise ValueError(f"both sides must have as many groups, got {len(a)} and {len(b)}")
    whole_a, whole_b = merge(a), merge(b)
    whole_a.require_same_dimension(whole_b)
    groups = sum(x.count + y.count > 0 for x, y in zip(a, b, strict=True))
    if groups < 2 or min(whole_a.count, whole_b.count) < 2:
        return None
    forth, back = optimal_maps(whole_a.covariance(), whole_b.covariance())
    moved = _of_groups(a, whole_a, whole_b, forth) + _of_groups(b, whole_b, whole_a, back)
    return float((groups / (groups - 1) * moved.square().sum()).sqrt())


def influences(
    samples: Float64[Tensor, "m d"],
    whole: GaussianMoments,
    other: GaussianMoments,
    transport: Float64[Tensor, "d d"],
) -> Float64[Tensor, "m"]:
    """By how much each sample of ``whole`` moves its distance to ``other``, to first order.

    As ``distance_standard_error`` says; over all samples of ``whole`` they add up to zero.

    Args:
        samples: some or all of the samples behind ``whole``, one in each row.
        whole: moments of all samples.
        other: those of the other side.
        transport: the optimal map from the covariance of ``whole`` to that of ``other``.
    """
    slope = torch.eye(whole.dimension).to(transport) - transport
    shifts = samples - whole.mean
    spread = ((shifts @ slope) * shifts).sum(dim=1) - _mean_spread(slope, whole)
    nearer = 2 * shifts @ (whole.mean - other.mean)
    return spread / (whole.count - 1) + nearer / whole.count


def _of_groups(
    groups: Sequence[GaussianMoments],
    whole: GaussianMoments,
    other: GaussianMoments,
    transport: Float64[Tensor, "d d"],
) -> Float64[Tensor, "groups"]:
    """The sum of the influences of each group's samples, from its moments."""
    slope = torch.eye(whole.dimension).to(transport) - transport
    mean = _mean_spread(slope, whole)
    found = []
    for group in groups:
        shift = group.mean - whole.mean
        spread = (slope * group.scatter).sum() + group.count * (shift @ slope @ shift - mean)
        nearer = 2 * group.count * (whole.mean - other.mean) @ shift
        found.append(spread / (whole.count - 1) + nearer / whole.count)
    return torch.stack(found)


def _mean_spread(slope: Float64[Tensor, "d d"], whole: GaussianMoments) -> Float64[Tensor, ""]:
    return (slope * whole.scatter).sum() / whole.count


def optimal_maps(
    a: Float64[Tensor, "d d"], b: Float64[Tensor, "d d"]
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, "d d"]]:
    """The optimal maps from covariance a to b, and from b to a.

    With factors a = F Fᵀ, b = G Gᵀ and M = GᵀF they are G M (MᵀM)^−3⁄2 Mᵀ Gᵀ and
    F (MᵀM)^−½ Fᵀ: no covariance is inverted. Singular covariances give what these maps do
    to their own samples, which is all that influences need.
    """
    first, second = factor(a), factor(b)  # (d, r), (d, s)
    if first.shape[1] > second.shape[1]:
        return optimal_maps(b, a)[::-1]
    product = second.mT @ first  # (s, r)
    values, vectors = torch.linalg.eigh(product.mT @ product)
    kept = values > _EMPTY * values[-1:]
    values, vectors = values[kept], vectors[:, kept]
    forth = second @ (product @ (vectors * values.pow(-0.75)))
    back = first @ (vectors * values.pow(-0.25))
    return forth @ forth.mT, back @ back.mT
