"""Distortions along the curve of an image that comes band by band.

Axes: t points of the curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dot_kernels.metrics import (
    Written,
    mean_squared_error_along,
    peak_signal_to_noise_ratio,
    root_in_levels,
    squared_change_along,
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
    """The last rows of the restored image, its direction, the ground truth and the weights."""
    _changes: list[Tensor] = field(default_factory=list, init=False)
    _errors: list[Tensor] = field(default_factory=list, init=False)
    _similarities: list[Tensor] = field(default_factory=list, init=False)

    def add(
        self, images: Tensor, direction: Tensor, references: Tensor | None, written: Written
    ) -> None:
        """Add the next band (1, 3, r, w) of the image, of its direction and of its ground truth.

        Args:
            images: of the restored image.
            direction: in which it is enhanced.
            references: of the ground truth; None for all bands if there is none.
            written: to which levels they are rounded, and how much pixels count.
        """
        weights = torch.ones_like(images[:, 0]) if written.weights is None else written.weights
        changes = squared_change_along(images, direction, self._points, written)
        self._sum(self._changes, changes, weights)
        if references is not None:
            self._compare((images, direction, references), weights, written)

    def _compare(
        self, line: tuple[Tensor, Tensor, Tensor], weights: Tensor, written: Written
    ) -> None:
        """Add what a band of the image, its direction and its ground truth have in common."""
        self._sum(self._errors, mean_squared_error_along(*line, self._points, written), weights)
        band = *line, weights[:, None]
        held = tuple(map(_below, self._above, band)) if self._above else band
        x, r, y, w = held
        weighing = replace(written, weights=None if written.weights is None else w[:, 0])
        similar = structural_similarity_along(x, r, y, self._points, weighing)
        if similar is not None:
            reach = _SHARED // 2
            self._sum(self._similarities, similar, w[:, 0, reach:-reach, reach:-reach])
            held = tuple(each[:, :, -_SHARED:].clone() for each in held)
        self._above = held

    def _sum(self, sums: list[Tensor], means: Tensor, weights: Tensor) -> None:
        """Add means (t, 1) of a band, and how much they count; nothing where none of it does."""
        count = float(weights.sum(dtype=torch.float64))
        if count > 0:
            sums.append(torch.cat([means[:, 0] * count, means.new_tensor([count])]))

    def metrics(self) -> dict[Signal, dict[str, float | None]]:
        """Return the metrics by column for each point, as ``distortions_along`` does.

        There are none where nothing was added.
        """
        if not self._changes:
            return {}
        changes, errors, similar = map(
            self._means, (self._changes, self._errors, self._similarities)
        )
        found = dict[Signal, dict[str, float | None]]()
        for signal, change, mse, ssim in zip(self.signals, changes, errors, similar, strict=True):
            found[signal] = {} if change is None else {"indrmse": root_in_levels(change)}
            if mse is not None:
                psnr = peak_signal_to_noise_ratio(mse)
                found[signal] |= {"mse": mse, "psnr": psnr, "ssim": ssim}
        return found

    def _means(self, sums: list[Tensor]) -> list[float | None]:
        """Return the mean at each point; None where nothing counts."""
        if not sums:
            return [None] * len(self.signals)
        total = torch.stack(sums).sum(dim=0)
        means: list[float | None] = (total[:-1] / total[-1]).tolist()
        return means

    @property
    def _points(self) -> list[float]:
        return [1 - signal.alpha for signal in self.signals if signal.alpha is not None]


def _below(above: Tensor, band: Tensor) -> Tensor:
    return torch.cat([above, band], dim=2)
