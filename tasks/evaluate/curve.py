"""Points of the perception-distortion curve and of the map, from the rows of the fidelity table.

Without ground truth there is no distortion; the distance to the input (IndRMSE) stands for it.
Nothing is drawn here: who only asks what can be drawn need not load the library that draws.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from tasks.io.artifacts.metric_registry import Metric, metrics_of, perceptual_distances

Row = Mapping[str, Any]
"""A row of the fidelity table."""

_ACROSS = [metric for metric in metrics_of("image") if metric.column in ("psnr", "indrmse")]
"""What the curve can have on its horizontal axis, the preferred one first."""


class CurveAxes(NamedTuple):
    """What the curve shows: distortion, or the distance to the input, and perception."""

    across: Metric
    """PSNR, or IndRMSE where no row has PSNR."""
    up: Metric
    """The preferred perceptual distance that was measured."""


SAMPLER_LOSS_DB = 10 * math.log10(2)
"""What a perfect posterior sampler loses in PSNR against the posterior mean, whose squared error
it doubles (Blau and Michaeli 2018; Freirich et al. 2021): 3.01 dB."""


def sampler_psnr(rows: Iterable[Row]) -> float | None:
    """The PSNR of a perfect posterior sampler if the input is the posterior mean, else at least.

    With another input, whose squared error is larger, the sampler is better than this. None where
    the input has no finite PSNR.
    """
    found = [
        row["psnr"] for row in rows if row["signal"] == "input" and _is_number(row.get("psnr"))
    ]
    return found[0] - SAMPLER_LOSS_DB if found else None


_DISTANCES = ("psnr", "ssim", "indrmse")
"""What two points of equal images have in common, whether or not there is ground truth."""


def with_map(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows, in which the curve has what the map knows of the same images.

    One share of the map may be that of the configuration, whose images are those of the curve,
    which the networks need not have seen. They are known by their alpha and all distances.
    """

    def images_of(row: Row) -> tuple[Any, ...]:
        return (row["alpha"], *(row.get(name) for name in _DISTANCES))

    own = ("signal", "low_share")
    known = {
        images_of(row): {n: v for n, v in row.items() if v is not None and n not in own}
        for row in rows
        if row["signal"] == "map"
    }
    return [
        {**row, **(known.get(images_of(row), {}) if row["signal"] == "curve" else {})}
        for row in rows
    ]


class Point(NamedTuple):
    """A mark of the curve, with standard errors where they are known."""

    alpha: float | None
    distortion: float
    """PSNR in dB, or IndRMSE in levels."""
    value: float
    distortion_error: float | None
    value_error: float | None


def curve_axes(rows: Iterable[Row]) -> CurveAxes | None:
    """What the curve can be drawn of, or None where nothing can be drawn."""
    known = list(rows)
    for across in _ACROSS:
        for metric in perceptual_distances():
            axes = CurveAxes(across, metric)
            if any(curve_points(known, signal, axes) for signal in ("enhanced", "curve")):
                return axes
    return None


def curve_metric(rows: Iterable[Row]) -> Metric | None:
    """The perceptual distance that the curve shows, or None where nothing can be drawn."""
    axes = curve_axes(rows)
    return None if axes is None else axes.up


def is_curve_measured(rows: Iterable[Row]) -> bool:
    """Whether the line goes through the curve's points, or else through written alphas only."""
    known = list(rows)
    axes = curve_axes(known)
    return axes is not None and len(curve_points(known, "curve", axes)) > 1


def curve_points(rows: Iterable[Row], signal: str, axes: CurveAxes) -> list[Point]:
    """The rows of a signal that have both metrics as finite numbers, by alpha."""
    across, up = axes
    found = [
        Point(
            row.get("alpha"),
            row[across.column],
            row[up.column],
            row.get(across.error.column) if across.error else None,
            row.get(up.error.column) if up.error else None,
        )
        for row in rows
        if row["signal"] == signal
        and _is_number(row.get(across.column))
        and _is_number(row.get(up.column))
    ]
    return sorted(found, key=lambda point: point.alpha or 0.0)


class MapPoint(NamedTuple):
    """What a pair of dials has, or what lies between two neighbours on the curve of a share."""

    low_share: float
    alpha: float
    distortion: float
    """PSNR in dB, or IndRMSE in levels."""
    value: float


def map_axes(rows: Iterable[Row]) -> CurveAxes | None:
    """What the map can be drawn of, or None where there is none: as the curve, if that can be."""
    known = [row for row in rows if row["signal"] == "map"]
    for across in _ACROSS:
        for metric in perceptual_distances():
            axes = CurveAxes(across, metric)
            if len(curve_points(known, "map", axes)) > 1:
                return axes
    return None


def map_curves(rows: Iterable[Row], axes: CurveAxes) -> dict[float, list[MapPoint]]:
    """The points of the map by share, both ascending, as far as both metrics are finite."""
    known = [row for row in rows if row["signal"] == "map"]
    shares = sorted({row["low_share"] for row in known})
    return {
        share: [
            MapPoint(share, point.alpha or 0.0, point.distortion, point.value)
            for point in curve_points((r for r in known if r["low_share"] == share), "map", axes)
        ]
        for share in shares
    }


def unbeaten(points: Iterable[MapPoint], axes: CurveAxes) -> list[MapPoint]:
    """The points than which no other is better in both, from the most faithful on.

    Points beyond alpha 1, where the change is undone, are left out.
    """
    sign = -1 if axes.across.better == "more" else 1
    known = [point for point in points if point.alpha <= 1]
    found = list[MapPoint]()
    for point in sorted(known, key=lambda p: (sign * p.distortion, p.value)):
        if not found or point.value < found[-1].value:
            found.append(point)
    return found


def between(a: MapPoint, b: MapPoint, way: float) -> MapPoint:
    """What lies between two neighbours on the curve of a share, from 0 at a to 1 at b.

    Alpha and distortion are interpolated linearly, the distance by equal factors: it is convex.
    """
    alpha = a.alpha + way * (b.alpha - a.alpha)
    distortion = a.distortion + way * (b.distortion - a.distortion)
    if min(a.value, b.value) > 0:
        return MapPoint(a.low_share, alpha, distortion, a.value * (b.value / a.value) ** way)
    return MapPoint(a.low_share, alpha, distortion, a.value + way * (b.value - a.value))


def at_distortion(curve: Sequence[MapPoint], level: float) -> MapPoint | None:
    """Where the curve of a share has a PSNR or IndRMSE, alpha at most 1; None where it has not.

    Of several places the one with the largest alpha is meant.

    Args:
        curve: by ascending alpha; see ``between`` for what is between its points.
        level: PSNR in dB, or IndRMSE in levels.
    """
    known = [point for point in curve if point.alpha <= 1]
    for a, b in reversed(list(pairwise(known))):
        if min(a.distortion, b.distortion) <= level <= max(a.distortion, b.distortion):
            rise = b.distortion - a.distortion
            return between(a, b, (level - a.distortion) / rise if rise else 1.0)
    return None


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
