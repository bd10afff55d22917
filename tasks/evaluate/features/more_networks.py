"""The columns of networks of features other than the first: their Fréchet distances."""

from collections.abc import Sequence
from typing import Any

from dot_kernels.metrics import FeatureStatistics, FrechetDistance
from tasks.evaluate.features.columns import FeatureSets, distances_before
from tasks.evaluate.features.distances import frechet_between
from tasks.evaluate.features.published import NO_FILES, PublishedFiles
from tasks.io.artifacts.metric import FEATURED
from tasks.io.artifacts.metric_registry import SECOND
from tasks.io.artifacts.more_metrics import distance_of
from tasks.io.workspace import INPUT, Signal
from tasks.jobs.progress import at


def add_columns(
    rows: Sequence[dict[str, Any]],
    points: Sequence[Signal],
    network: str,
    sets: FeatureSets,
    files: PublishedFiles,
    came: PublishedFiles | None,
) -> None:
    """Add the columns of one of these networks to the rows of a signal.

    All points are compared before the next network comes, so that the features of what they are
    compared with are read once.

    Args:
        rows: of the signal: one, or of the curve one for each of its points.
        points: that signal, or those points.
        network: whose features they are of.
        sets: what the signal is compared with, in features of this network.
        files: of the signal.
        came: those of the input; None where nothing is compared with it.
    """
    before = distances_before(sets, came.features(INPUT, network) if came else NO_FILES)
    for row, point in zip(rows, points, strict=True):
        at(f"distances of {point.label} by {network}")
        images = sets.of(files.features(point, network))
        row.update(_columns(network, images, sets, before, of_curve=files.tables.signal.is_curve))


def _columns(
    network: str,
    images: FeatureStatistics | None,
    sets: FeatureSets,
    before: Sequence[FrechetDistance | None],
    *,
    of_curve: bool,
) -> dict[str, Any]:
    """The columns of a signal, or of a point of the curve, which is compared with one data set."""
    metric = distance_of(network)
    row: dict[str, Any] = {metric.featured: images.count if images else 0}
    if images is None or images.count < 2:
        return row
    found = sets.to_compare_with()
    if known := [one for one in found if one is not None]:
        ending = metric.featured.removeprefix(FEATURED)
        row[f"dimension{ending}"] = known[0].groups[0].dimension
        row[f"reference_images{ending}"] = min(one.count for one in known)
    for end, one, old in zip(("", SECOND), found, before, strict=False):
        if one is not None and not (end and of_curve):
            for name, value in frechet_between(images, one, old).items():
                row[name.replace("frechet", metric.column) + end] = value
    return row
