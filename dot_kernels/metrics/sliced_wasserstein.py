"""The sliced Wasserstein distance of two sets of images (MIND with Inception's features).

Axes: n images, m images of another set, d features of one image, p projections.
"""

import torch
from jaxtyping import Float
from torch import Tensor

PROJECTIONS = 1000
"""Directions that the distance is averaged over."""

_AT_ONCE = 128
"""Directions whose projections are in memory together."""


def monge_distance(
    features: Float[Tensor, "n d"], reference: Float[Tensor, "m d"], *, seed: int = 2021
) -> float | None:
    """The Monge distance of features, MIND with Inception's (Berthet et al. 2026).

    3d times the mean over random directions of the squared 2-Wasserstein distance of the two sets
    projected onto one. In one dimension the optimal transport joins values of equal rank. Of sets
    of different sizes the first images of the larger one count, as many as the smaller one has.

    Args:
        features: one image in each row.
        reference: the same of the other set.
        seed: of the directions' choice.

    Returns:
        The distance; 0 for equal sets, None where one is empty.
    """
    count = min(len(features), len(reference))
    if count == 0:
        return None
    x, y = features[:count].double(), reference[:count].double()
    dimension = x.shape[1]
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(PROJECTIONS, dimension, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=1, keepdim=True)
    total = 0.0
    for start in range(0, PROJECTIONS, _AT_ONCE):
        some = directions[start : start + _AT_ONCE].to(x.device)
        ours, theirs = ((side @ some.mT).sort(dim=0).values for side in (x, y))  # (n, p)
        total += float((ours - theirs).square().mean(dim=0).sum())
    return 3 * dimension * total / PROJECTIONS
