"""Points of the perception-distortion curve, from the rows of the fidelity table.

Nothing is drawn here: who only asks what can be drawn need not load the library that draws.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tasks.io.artifacts.metric_registry import Metric, perceptual_distances

Row = Mapping[str, Any]
"""A row of the fidelity table."""


SAMPLER_LOSS_DB = 10 * math.log10(2)
"""What a perfect posterior sampler loses in PSNR against the posterior mean, whose squared error
it doubles (Blau and Michaeli 2018; Freirich et al. 2021): 3.01 dB."""


def sampler_psnr(rows: Iterable[Row]) -> float | None:
    """The PSNR of a perfect posterior sampler if the input is the posterior mean, else at least.

    With another input, whose squared error is larger, the sampler is better than this. None where
    the input has no finite PSNR.
    """
    found = [row["psnr"] for row in rows if row["signal"] == "input" and _is_number(row["psnr"])]
    return found[0] - SAMPLER_LOSS_DB if found else None


class Point(NamedTuple):
    """A mark of the curve, with standard errors where they are known."""

    alpha: float | None
    psnr: float
    value: float
    psnr_error: float | None
    value_error: float | None


def curve_metric(rows: Iterable[Row]) -> Metric | None:
    """The perceptual distance to draw PSNR against, or None where nothing can be drawn."""
    known = list(rows)
    for metric in perceptual_distances():
        if any(curve_points(known, signal, metric) for signal in ("enhanced", "curve")):
            return metric
    return None


def is_curve_measured(rows: Iterable[Row]) -> bool:
    """Whether the line goes through the curve's points, or else through written alphas only."""
    known = list(rows)
    metric = curve_metric(known)
    return metric is not None and len(curve_points(known, "curve", metric)) > 1


def curve_points(rows: Iterable[Row], signal: str, metric: Metric) -> list[Point]:
    """The rows of a signal that have both PSNR and the metric as finite numbers, by alpha."""
    found = [
        Point(
            row.get("alpha"),
            row["psnr"],
            row[metric.column],
            row.get("psnr_error"),
            row.get(metric.error.column) if metric.error else None,
        )
        for row in rows
        if row["signal"] == signal
        and _is_number(row.get("psnr"))
        and _is_number(row.get(metric.column))
    ]
    return sorted(found, key=lambda point: point.alpha or 0.0)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
