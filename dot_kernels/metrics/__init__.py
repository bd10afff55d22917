"""Image quality metrics.

Distortion compares one image with its ground truth; fidelity compares the distribution
of a set of images, by features of a network, with that of another set.
"""

from dot_kernels.metrics.distortion import (
    distortion_of_written,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    root_in_levels,
    squared_error_of_written,
    structural_similarity,
)
from dot_kernels.metrics.estimates import Estimate
from dot_kernels.metrics.feature_statistics import FeatureStatistics
from dot_kernels.metrics.frechet import (
    FrechetDistance,
    extrapolated_frechet_distance,
    frechet_distance,
)
from dot_kernels.metrics.inception import ClassSums, inception_score
from dot_kernels.metrics.line import (
    IN_EIGHT_BITS,
    Written,
    mean_squared_error_along,
    squared_change_along,
    structural_similarity_along,
)
from dot_kernels.metrics.maximum_mean_discrepancy import (
    gaussian_discrepancy,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
)
from dot_kernels.metrics.nearest_neighbours import PrecisionRecall, precision_recall
from dot_kernels.metrics.sliced_wasserstein import monge_distance

__all__ = [
    "IN_EIGHT_BITS",
    "ClassSums",
    "Estimate",
    "FeatureStatistics",
    "FrechetDistance",
    "PrecisionRecall",
    "Written",
    "distortion_of_written",
    "extrapolated_frechet_distance",
    "frechet_distance",
    "gaussian_discrepancy",
    "inception_score",
    "kernel_distance",
    "kernel_subset_size",
    "mean_squared_error",
    "mean_squared_error_along",
    "monge_distance",
    "pairing_bias",
    "peak_signal_to_noise_ratio",
    "precision_recall",
    "root_in_levels",
    "squared_change_along",
    "squared_error_of_written",
    "structural_similarity",
    "structural_similarity_along",
]
