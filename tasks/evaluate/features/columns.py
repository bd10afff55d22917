"""The columns of the fidelity table that are computed from the features of a signal."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dot_kernels.metrics import FeatureStatistics, FrechetDistance, frechet_distance
from tasks.evaluate.features.distances import (
    distances_between,
    distances_to_second,
    frechet_between,
    inception_scores,
)
from tasks.evaluate.features.published import FeatureFiles
from tasks.evaluate.features.tables import (
    FeatureTables,
    statistics_of,
    statistics_to_compare_with,
)
from tasks.evaluate.overlap import NOTHING, LeftOut
from tasks.io.artifacts.features import read_class_sums
from tasks.io.workspace import Signal, Workspace


class FeatureSets(NamedTuple):
    """The features of signals, and the one or two data sets that they are compared with.

    ``sample`` is how many images' features are kept for the metrics that need single ones. Images
    that are ``left_out`` do not count, in any signal or data set. ``of_clip`` says whether the
    features are CLIP's.
    """

    workspace: Workspace
    compared: tuple[FeatureTables, ...]
    sample: int
    left_out: LeftOut
    of_clip: bool = False

    def of(self, files: FeatureFiles) -> FeatureStatistics | None:
        """The statistics of a signal with these files; None if they hold no image that counts."""
        return statistics_of(self.workspace, files, self.sample, self.left_out.featured)

    def to_compare_with(self) -> list[FeatureStatistics | None]:
        """The statistics of each data set; None for one that has fewer than two images."""
        found = (
            statistics_to_compare_with(
                self.workspace,
                each,
                self.sample,
                self.left_out.compared.get(each.dataset, NOTHING),
            )
            for each in self.compared
        )
        return [None if one is None or one.count < 2 else one for one in found]


def distances_before(sets: FeatureSets, files: FeatureFiles) -> list[FrechetDistance | None]:
    """The Fréchet distances of the input to each data set, None where one is not known.

    Args:
        sets: those of the signal that is compared with the input, so that both leave out the same.
        files: that have the features of the input; none where it has no metrics.
    """
    images = sets.of(files)
    if images is None or images.count < 2:
        return [None] * len(sets.compared)
    return [
        None if one is None else frechet_distance(images, one) for one in sets.to_compare_with()
    ]


def feature_columns(
    sets: FeatureSets,
    signal: Signal,
    files: FeatureFiles,
    classes: Sequence[str],
    before: Sequence[FrechetDistance | None],
) -> dict[str, Any]:
    """The columns of a signal, or of a point of the curve.

    It is only ``featured``, the number of images with features, where there are too few of them
    or nothing to compare them with.

    Args:
        sets: what it is compared with.
        signal: that signal, or a curve.
        files: that have its features.
        classes: its sums of class probabilities.
        before: the distances of the input, from ``distances_before``.
    """
    images = sets.of(files)
    if images is None or images.count < 2:
        return {"featured": images.count if images else 0}
    first, *others = sets.to_compare_with()
    if first is None:
        return {"featured": images.count}
    facts = {
        "featured": images.count,
        "reference_images": min(one.count for one in (first, *others) if one is not None),
        "dimension": first.groups[0].dimension,
    }
    if signal.is_curve:  # the other metrics would cost minutes for each of its points
        return facts | frechet_between(images, first, before[0])
    sums = read_class_sums(sets.workspace.store, classes)
    row = facts | distances_between(images, first, before[0], of_clip=sets.of_clip)
    row |= inception_scores(sums)
    for second, old in zip(others, before[1:], strict=True):
        if second is not None:
            row |= distances_to_second(images, second, old, of_clip=sets.of_clip)
    return row
