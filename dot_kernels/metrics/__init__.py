"""Image quality metrics: distortion of one image, fidelity of a set of them."""

from dot_kernels.metrics.distortion import (
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from dot_kernels.metrics.fidelity import (
    ClassSums,
    Estimate,
    FeatureStatistics,
    FrechetEstimate,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
    precision_recall,
)
from dot_kernels.metrics.line import ErrorSums, structural_similarity_along

__all__ = [
    "ClassSums",
    "ErrorSums",
    "Estimate",
    "FeatureStatistics",
    "FrechetEstimate",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "kernel_subset_size",
    "mean_squared_error",
    "pairing_bias",
    "peak_signal_to_noise_ratio",
    "precision_recall",
    "structural_similarity",
    "structural_similarity_along",
]
