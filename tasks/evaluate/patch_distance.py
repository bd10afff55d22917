"""The Gelbrich distance of latent patches, with its error, from the moments of shards."""

from collections.abc import Iterable
from functools import partial

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.metrics.feature_statistics import GROUPS
from dot_kernels.moments import merge
from dot_kernels.uncertainty import distance_standard_error
from tasks.enhance.features import LATENT_GROUPS, LATENT_PATCHES
from tasks.io.artifacts.moments import read_moments
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store

_FEWEST_GROUPS = 5


def distance_of_patches(
    store: Store, paths: Iterable[str], natural: GaussianMoments
) -> dict[str, float | None]:
    """The squared Gelbrich distance of a signal's latent patches to the natural ones, its error.

    They are columns of the fidelity table, ``gelbrich`` and ``gelbrich_error``. The distance is
    None where the moments of its patches were not kept. The error takes the natural ones as
    given; where no groups of images were kept, it takes every tenth shard for one. It is None
    with fewer than five groups, which would tell little.

    Args:
        store: where the moments lie.
        paths: of the moments of each shard.
        natural: moments of the natural patches.
    """
    groups = [GaussianMoments.zero(natural.dimension)] * GROUPS
    read = side_by_side(partial(read_moments, store), paths)
    for number, parts in enumerate(read):
        for group, name in enumerate(LATENT_GROUPS):
            if name in parts:
                groups[group] = groups[group] + parts[name]
        if LATENT_GROUPS[0] not in parts:
            groups[number % GROUPS] = groups[number % GROUPS] + parts[LATENT_PATCHES]
    total = merge(groups)
    if total.count < 2:
        return {"gelbrich": None, "gelbrich_error": None}
    known = sum(group.count > 0 for group in groups) >= _FEWEST_GROUPS
    others = [natural, *[GaussianMoments.zero(natural.dimension)] * (GROUPS - 1)]
    return {
        "gelbrich": gelbrich_distance(total, natural),
        "gelbrich_error": distance_standard_error(groups, others) if known else None,
    }
