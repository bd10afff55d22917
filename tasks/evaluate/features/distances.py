"""The metrics of features, as columns of the fidelity table; one that cannot be had is left out."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dot_kernels.metrics import (
    ClassSums,
    FeatureStatistics,
    FrechetDistance,
    extrapolated_frechet_distance,
    frechet_distance,
    gaussian_discrepancy,
    inception_score,
    kernel_distance,
    kernel_subset_size,
    monge_distance,
    pairing_bias,
    precision_recall,
)
from tasks.config import Config
from tasks.io.artifacts.metric_registry import SECOND
from tasks.io.artifacts.more_metrics import distance_of, more_networks


def distances_between(
    images: FeatureStatistics,
    reference: FeatureStatistics,
    before: FrechetDistance | None,
    *,
    of_clip: bool,
) -> dict[str, Any]:
    """Distances of the features of a signal to those of the reference, with their errors.

    The row has the size of the kernel distance's subsets too, as ``subset_size``.

    Args:
        images: features of the signal.
        reference: those to compare with.
        before: the distance of the input to the same, which the change is to; None to have none.
        of_clip: whether CLIP gave the features, by which CMMD is defined.
    """
    row = frechet_between(images, reference, before)
    row["frechet_extrapolated"] = extrapolated_frechet_distance(images, reference)
    size = kernel_subset_size(len(images.features), len(reference.features))
    if kernel := kernel_distance(images.features, reference.features, subset_size=size):
        row |= {"kernel": kernel.value, "kernel_spread": kernel.error, "subset_size": size}
        if (bias := pairing_bias(images, reference)) is not None:
            row["kernel_corrected"] = kernel.value - bias
    row["mind"] = monge_distance(in_order(images), in_order(reference))
    if of_clip:
        row["cmmd"] = gaussian_discrepancy(images.features, reference.features)
    if shares := precision_recall(images, reference):
        row |= {"precision": shares.precision.value, "precision_error": shares.precision.error}
        row |= {"recall": shares.recall.value, "recall_error": shares.recall.error}
    return row


def in_order(images: FeatureStatistics) -> Tensor:
    """The features of the sample in the order of draws, which no sharding can change."""
    return images.features[images.draws.argsort()]


def frechet_between(
    images: FeatureStatistics, reference: FeatureStatistics, before: FrechetDistance | None
) -> dict[str, Any]:
    """The Fréchet distance alone, its error and its change, as at the many points of the curve."""
    frechet = frechet_distance(images, reference)
    row = {"frechet": frechet.value, "frechet_error": frechet.error}
    if before is not None:
        change = frechet.change_from(before)
        row |= {"frechet_change": change.value, "frechet_change_error": change.error}
    return row


def distances_to_second(
    images: FeatureStatistics,
    second: FeatureStatistics,
    before: FrechetDistance | None,
    *,
    of_clip: bool,
) -> dict[str, Any]:
    """The distances to a second data set, in columns of their own."""
    row = distances_between(images, second, before, of_clip=of_clip)
    row.pop("subset_size", None)
    return {f"{column}{SECOND}": value for column, value in row.items()}


def compared_with(config: Config) -> dict[str, str]:
    """What features are compared with, in words, for the metadata of the fidelity table.

    An image's own reference resembles it, whatever its quality; other photographs do not.
    """
    kinds = [
        "own references" if name == config.reference_name else "other photographs"
        for name in config.against_names
    ]
    first, *others = zip(kinds, config.against_names, strict=True)
    words = {"compared_with": first[0], "compared_dataset": first[1]}
    for kind, name in others:
        words |= {"second_compared_with": kind, "second_dataset": name}
    return words


def compared_in_words(facts: Mapping[str, str]) -> str:
    """A sentence on the images that metrics of features compare with."""
    first = f"the images' {facts['compared_with']} (data set {facts['compared_dataset']})"
    if facts["compared_with"] != "own references":
        first = f"{facts['compared_with']} (data set {facts['compared_dataset']})"
    more = [facts[f"{distance_of(network).column}_name"] for network in more_networks(facts)]
    distances = [facts["frechet_name"], *more, facts["kernel_name"]]
    names = f"{', '.join(distances)}, precision and recall"
    second = ""
    if "second_dataset" in facts:
        second = (
            f"; columns that say so, with {facts['second_compared_with']} "
            f"(data set {facts['second_dataset']})"
        )
    return (
        f"{names} compare with {first}{second}. In precision and recall no image counts that "
        "only its own reference has within its radius."
    )


def inception_scores(sums: ClassSums | None) -> dict[str, Any]:
    """The Inception Score of a signal and its spread; nothing where the network has no classes."""
    score = None if sums is None else inception_score(sums)
    if score is None:
        return {}
    return {"inception_score": score.value, "inception_score_spread": score.error}
