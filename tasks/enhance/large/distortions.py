"""Distortions along the curve of an image that comes band by band.

Axes: t points of the curve.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dot_kernels.metrics import (
    mean_squared_error_along,
    peak_signal_to_noise_ratio,
    structural_similarity_along,
)
from dot_kernels.metrics.distortion import SSIM_WINDOW
from tasks.io.workspace import Signal

_SHARED = SSIM_WINDOW - 1
"""Rows that a band must have of the one above it, so that no place of the window is left out."""


@dataclass
class DistortionsInBands:
    """Sums up the metrics of an image at points of the curve; it grows with every band."""

    signals: Sequence[Signal]
    """Points of the curve."""
    _above: tuple[Tensor, ...] = field(default=(), init=False)
    """The last rows of the restored image, its direction and the ground truth."""
    _errors: list[Tensor] = field(default_factory=list, init=False)
    _similarities: list[Tensor] = field(default_factory=list, init=False)
    _pixels: int = field(default=0, init=False)
    _places: int = field(default=0, init=False)

    def add(self, images: Tensor, direction: Tensor, references: Tensor) -> None:
        """Add the next band (1, 3, r, w) of the image, of its direction and of its ground truth."""
        line = images, direction, references
        count = images.shape[2] * images.shape[3]
        self._errors.append(mean_squared_error_along(*line, self._points) * count)
        self._pixels += count
        held = tuple(map(_below, self._above, line)) if self._above else line
        similar = structural_similarity_along(held[0], held[1], held[2], self._points)
        if similar is not None:
            places = math.prod(side - _SHARED for side in held[0].shape[2:])
            self._similarities.append(similar * places)
            self._places += places
            held = tuple(each[:, :, -_SHARED:].clone() for each in held)
        self._above = held

    def metrics(self) -> dict[Signal, dict[str, float | None]]:
        """Return the metrics by column for each point, as ``distortions_along`` does.

        There are none where nothing was added.
        """
        if not self._errors:
            return {}
        errors = (torch.stack(self._errors).sum(dim=0) / self._pixels)[:, 0].tolist()
        similar: list[float | None] = [None] * len(errors)
        if self._similarities:
            similar = (torch.stack(self._similarities).sum(dim=0) / self._places)[:, 0].tolist()
        return {
            signal: {"mse": mse, "psnr": peak_signal_to_noise_ratio(mse), "ssim": ssim}
            for signal, mse, ssim in zip(self.signals, errors, similar, strict=True)
        }

    @property
    def _points(self) -> list[float]:
        return [1 - signal.alpha for signal in self.signals if signal.alpha is not None]


def _below(above: Tensor, band: Tensor) -> Tensor:
    return torch.cat([above, band], dim=2)
