"""The metrics of features, as columns of the fidelity table; one that cannot be had is left out."""

from typing import Any

from dot_kernels.metrics import (
    ClassSums,
    FeatureStatistics,
    extrapolated_frechet_distance,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
    precision_recall,
)


def distances_between(images: FeatureStatistics, reference: FeatureStatistics) -> dict[str, Any]:
    """Distances of the features of a signal to those of the reference, with their errors.

    The row has the size of the kernel distance's subsets too, as ``subset_size``.
    """
    frechet = frechet_distance(images, reference)
    row: dict[str, Any] = {
        "frechet": frechet.value,
        "frechet_error": frechet.error,
        "frechet_extrapolated": extrapolated_frechet_distance(images, reference),
    }
    size = kernel_subset_size(len(images.features), len(reference.features))
    if kernel := kernel_distance(images.features, reference.features, subset_size=size):
        row |= {"kernel": kernel.value, "kernel_spread": kernel.error, "subset_size": size}
        if (bias := pairing_bias(images, reference)) is not None:
            row["kernel_corrected"] = kernel.value - bias
    if shares := precision_recall(images, reference):
        row |= {"precision": shares.precision.value, "precision_error": shares.precision.error}
        row |= {"recall": shares.recall.value, "recall_error": shares.recall.error}
    return row


def inception_scores(sums: ClassSums | None) -> dict[str, Any]:
    """The Inception Score of a signal and its spread; nothing where the network has no classes."""
    score = None if sums is None else inception_score(sums)
    if score is None:
        return {}
    return {"inception_score": score.value, "inception_score_spread": score.error}
