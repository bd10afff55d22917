"""What networks see in a batch of images: LPIPS against references, and features."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dot_kernels import Transported
from dot_kernels.metrics import (
    ErrorSums,
    peak_signal_to_noise_ratio,
    structural_similarity_along,
)
from tasks.io.images.pixels import to_bytes
from tasks.io.networks.extractors import Seen, see
from tasks.io.networks.feature_networks import Extractor
from tasks.io.networks.perceptual import LPIPS_SHORTEST_SIDE, Perceptual
from tasks.io.workspace import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of the metrics; None where one is not wanted or has no weights."""

    lpips: Perceptual | None = None
    extractor: Extractor | None = None

    def against(self, references: Tensor | None) -> Callable[[Tensor], Tensor] | None:
        """LPIPS against references (b, 3, h, w); None where it cannot be had."""
        if self.lpips is None or references is None:
            return None
        if min(references.shape[2:]) < LPIPS_SHORTEST_SIDE:
            return None
        return self.lpips(references)

    def features(self, images: Tensor) -> list[Seen] | None:
        """Features of each image (b, 3, h, w) in [0, 1] as it will be written, in 8 bits."""
        return None if self.extractor is None else see(self.extractor, to_bytes(images))


def distortions_along(
    transported: Transported, references: Tensor | None, signals: Sequence[Signal]
) -> list[dict[Signal, dict[str, float | None]]]:
    """For each image, its distortions at every alpha of the curve, before clipping.

    Args:
        transported: with image interpolation.
        references: ground truth (b, 3, h, w); without it no image has any.
        signals: points of the curve.
    """
    direction = transported.direction()
    if direction is None or references is None or not signals:
        return [{} for _ in transported.images]
    points = [1 - signal.alpha for signal in signals if signal.alpha is not None]
    start = transported.images
    errors = ErrorSums.of(start, direction, references).mean_squared_error(points).T.tolist()
    scores = structural_similarity_along(start, direction, references, points)
    similar = [[None] * len(points)] * len(errors) if scores is None else scores.T.tolist()
    return [
        {
            signal: {"mse": mse, "psnr": peak_signal_to_noise_ratio(mse), "ssim": ssim}
            for signal, mse, ssim in zip(signals, image_errors, image_scores, strict=True)
        }
        for image_errors, image_scores in zip(errors, similar, strict=True)
    ]
