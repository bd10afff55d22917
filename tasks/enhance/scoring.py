"""Rows of the metric tables, computed from rendered images as they are written."""

from typing import Any

import torch
from torch import Tensor

from dot_kernels.metrics import (
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from tasks.enhance.rendering import Rendered
from tasks.io.images.files import Pixels
from tasks.io.workspace import CURVE, Signal


def score(rendered: Rendered, signal: Signal, fingerprint: str) -> list[dict[str, Any]]:
    """Return the rows of one signal of one picture: its metrics, or why there are none.

    The curve has a row for each of its points, and none where there is no reference; any other
    signal has one row.

    Args:
        rendered: the picture.
        signal: a control, the enhanced images at an alpha, or the curve.
        fingerprint: of the table that the rows belong to.
    """
    row = _identity(rendered, signal, fingerprint)
    if signal == CURVE:
        return [
            {**row, "alpha": point.alpha, **metrics, "lpips": rendered.lpips.get(point)}
            for point, metrics in rendered.curve.items()
        ]
    if rendered.reason is not None:
        return [row | {"status": "refused", "reason": rendered.reason}]
    pixels, truth = rendered.images.get(signal), rendered.reference
    if pixels is None or truth is None:
        return [row | {"status": "unscored", "reason": rendered.unscored}]
    image, reference = _in_float64(pixels), _in_float64(truth)
    mse = mean_squared_error(image, reference)
    metrics = {
        "mse": mse,
        "psnr": peak_signal_to_noise_ratio(mse),
        "ssim": structural_similarity(image, reference),
        "lpips": rendered.lpips.get(signal),
    }
    return [row | metrics]


def _in_float64(pixels: Pixels) -> Tensor:
    """Return the image (3, h, w) in [0, 1] of an array (h, w, 3) of 8 bits."""
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).double() / 255


def _identity(rendered: Rendered, signal: Signal, fingerprint: str) -> dict[str, Any]:
    """Return the columns that say which picture and signal a row is about."""
    member = rendered.picture.member
    return {
        "key": member.key,
        "shard": member.tar.rpartition("/")[2].removesuffix(".tar"),
        "signal": signal.name,
        "alpha": signal.alpha,
        "width": member.width,
        "height": member.height,
        "status": "ok",
        "fingerprint": fingerprint,
    }
