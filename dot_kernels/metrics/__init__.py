"""Image quality metrics."""

from dot_kernels.metrics.distortion import (
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)

__all__ = ["mean_squared_error", "peak_signal_to_noise_ratio", "structural_similarity"]
