"""Rows of the metric table, from rendered images."""

from typing import Any

from dot_kernels.metrics import (
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from tasks.io.workspace import Signal
from tasks.rendering import Rendered


def score(rendered: Rendered, signal: Signal, fingerprint: str) -> dict[str, Any]:
    """One row: the metrics of one signal of one picture, or why there are none."""
    member = rendered.picture.member
    row: dict[str, Any] = {
        "key": member.key,
        "shard": member.tar.rpartition("/")[2].removesuffix(".tar"),
        "signal": signal.name,
        "alpha": signal.alpha,
        "width": member.width,
        "height": member.height,
        "status": "ok",
        "fingerprint": fingerprint,
    }
    if rendered.reason is not None:
        return row | {"status": "refused", "reason": rendered.reason}
    image, reference = rendered.images.get(signal), rendered.reference
    if image is None or reference is None:
        return row | {"status": "unscored", "reason": rendered.unscored}
    mse = mean_squared_error(image, reference)
    return row | {
        "mse": mse,
        "psnr": peak_signal_to_noise_ratio(mse),
        "ssim": structural_similarity(image, reference),
        "lpips": rendered.lpips.get(signal),
    }
