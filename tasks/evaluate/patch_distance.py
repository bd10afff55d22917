"""How far latent patches are from natural ones, from the moments of shards."""

from collections.abc import Iterable
from functools import partial

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.diagnostics import variance_reached
from dot_kernels.metrics.feature_statistics import GROUPS
from dot_kernels.moments import merge
from dot_kernels.spd import spectrum
from dot_kernels.uncertainty import distance_standard_error
from tasks.enhance.features import LATENT_GROUPS, LATENT_PATCHES
from tasks.io.artifacts.moments import read_moments
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store

_COLUMNS = ("gelbrich", "gelbrich_error", "variance_reached_median", "variance_reached_least")

_FEWEST_GROUPS = 5


def distance_of_patches(
    store: Store, paths: Iterable[str], natural: GaussianMoments
) -> dict[str, float | None]:
    """Columns of the fidelity table that say how far a signal's patches are from natural ones.

    They are the squared Gelbrich distance, its standard error, and the share of the natural
    variance that the patches have in the median and in the worst direction. All are None where
    the moments of the signal's patches were not kept. The error takes the natural patches as
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
        return dict.fromkeys(_COLUMNS)
    known = sum(group.count > 0 for group in groups) >= _FEWEST_GROUPS
    others = [natural, *[GaussianMoments.zero(natural.dimension)] * (GROUPS - 1)]
    reached = variance_reached(total.covariance(), spectrum(natural.covariance()))
    values = (
        gelbrich_distance(total, natural),
        distance_standard_error(groups, others) if known else None,
        float(reached.quantile(0.5)),
        float(reached.min()),
    )
    return dict(zip(_COLUMNS, values, strict=True))
