"""Metrics of a batch: LPIPS and features by networks, distortions along the curve.

Axes: b images, h and w their height and width.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dot_kernels import Transported
from dot_kernels.metrics import (
    IN_EIGHT_BITS,
    Written,
    mean_squared_error_along,
    peak_signal_to_noise_ratio,
    structural_similarity_along,
)
from tasks.io.images.pixels import to_bytes
from tasks.io.networks.features.extractors import Seen, see
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE, Perceptual
from tasks.io.workspace import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of the metrics; None for one that is not wanted or has no weights."""

    lpips: Perceptual | None = None
    extractor: Extractor | None = None

    def against(self, references: Tensor | None) -> Callable[[Tensor], Tensor] | None:
        """Return a function that gives the LPIPS (b,) of images against these references.

        Args:
            references: (b, 3, h, w) in [0, 1]; None without any.

        Returns:
            None without a network or references, or where they are too small for the network.
        """
        if self.lpips is None or references is None:
            return None
        if min(references.shape[2:]) < LPIPS_SHORTEST_SIDE:
            return None
        return self.lpips(references)

    def features(self, images: Tensor) -> list[Seen] | None:
        """Return the features of each image, rounded to 8 bits as it will be written.

        Args:
            images: (b, 3, h, w) in [0, 1].

        Returns:
            None without a network, or where the images are too small for it.
        """
        return None if self.extractor is None else see(self.extractor, to_bytes(images))


def perceive(
    networks: Networks, images: Iterable[tuple[Signal, Tensor]], references: Tensor | None
) -> tuple[dict[Signal, list[float]], dict[Signal, list[Seen]]]:
    """Return LPIPS and features of each image, by signal.

    Args:
        networks: of the metrics.
        images: of each signal, (b, 3, h, w) in [0, 1] as readers of the written ones see them;
            they are taken one after the other.
        references: (b, 3, h, w) in [0, 1]; None without any.
    """
    lpips, features = dict[Signal, list[float]](), dict[Signal, list[Seen]]()
    compare = networks.against(references)
    for signal, shown in images:
        if compare is not None:
            lpips[signal] = compare(shown).tolist()
        if (seen := networks.features(shown)) is not None:
            features[signal] = seen
    return lpips, features


def distortions_along(
    transported: Transported,
    references: Tensor | None,
    signals: Sequence[Signal],
    written: Written = IN_EIGHT_BITS,
) -> list[dict[Signal, dict[str, float | None]]]:
    """Return for each image its metrics at every point of the curve, as it would be written.

    Args:
        transported: the batch; with latent interpolation no image has such metrics.
        references: ground truth (b, 3, h, w); without it no image has any either.
        signals: points of the curve.
        written: to which levels images are rounded, and how much their pixels count.

    Returns:
        Metrics by column for each point: ``mse``, ``psnr`` in dB, and ``ssim``, which is None
        for images that are smaller than its window.
    """
    direction = transported.direction()
    if direction is None or references is None or not signals:
        return [{} for _ in transported.images]
    points = [1 - signal.alpha for signal in signals if signal.alpha is not None]
    line = transported.images, direction, references
    errors = mean_squared_error_along(*line, points, written).T.tolist()
    scores = structural_similarity_along(*line, points, written)
    similar = [[None] * len(points)] * len(errors) if scores is None else scores.T.tolist()
    return [
        {
            signal: {"mse": mse, "psnr": peak_signal_to_noise_ratio(mse), "ssim": _defined(ssim)}
            for signal, mse, ssim in zip(signals, image_errors, image_scores, strict=True)
        }
        for image_errors, image_scores in zip(errors, similar, strict=True)
    ]


def _defined(similarity: float | None) -> float | None:
    """Return SSIM, or None where no window counts."""
    return None if similarity is None or math.isnan(similarity) else similarity
