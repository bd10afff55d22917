"""The map of two dials as tables and in words: what each share has at an equal PSNR."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tasks.evaluate.curve import CurveAxes, MapPoint, at_distortion, map_axes, map_curves
from tasks.io.artifacts.metric import Metric
from tasks.io.artifacts.metric_registry import curve_names
from tasks.report.pages import Cell, Table, digits_of, number
from tasks.report.tables.names import Row
from tasks.report.tables.results import points_table

_STEPS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""From one level of the table to the next: the first of these that gives at most ``_MOST``."""

_MOST = 8


class _Levels(NamedTuple):
    """What the curve of each share has at the same PSNR, or IndRMSE, level by level."""

    axes: CurveAxes
    found: dict[float, dict[float, MapPoint]]
    """By level and by share; a share whose curve does not reach a level is left out."""


def map_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of the map's points, no value of which is marked."""
    return points_table(rows, facts, "map")


def levels_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The distance that each share has at the same PSNR, with the alpha there; the best marked.

    Between measured alphas it is interpolated. There are no lines without a map.
    """
    levels = _levels(rows)
    if levels is None:
        return Table([], [])
    shares = sorted({share for points in levels.found.values() for share in points})
    titles = ["", *(f"low_share {share:g}" for share in shares)]
    up = levels.axes.up
    digits = digits_of(up, (p.value for points in levels.found.values() for p in points.values()))
    lines = []
    for level, points in levels.found.items():
        best = min(points.values(), key=lambda point: point.value) if len(points) > 1 else None
        cells = (_cell(points.get(share), best, digits) for share in shares)
        lines.append([Cell(_level_in_words(levels.axes.across, level)), *cells])
    return Table(titles, lines)


def levels_title(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """What ``levels_table`` is called; empty without a map."""
    axes = map_axes(rows)
    return "" if axes is None else f"{_name(axes, facts)} at equal {_across(axes)}"


def gain_in_words(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """A sentence on what a second dial gains over the largest share of the map, where most.

    Empty without a map, or with one share only.
    """
    levels = _levels(rows)
    if levels is None:
        return ""
    largest = max((share for points in levels.found.values() for share in points), default=0.0)
    known = {
        level: (min(points.values(), key=lambda point: point.value), points[largest])
        for level, points in levels.found.items()
        if largest in points and len(points) > 1 and points[largest].value > 0
    }
    if not known:
        return ""
    across, name = _across(levels.axes), _name(levels.axes, facts)
    level, (best, base) = max(
        known.items(), key=lambda pair: 1 - pair[1][0].value / pair[1][1].value
    )
    if best.low_share == largest:
        return f"At no {across} of the table another share has a lower {name} than {largest:g}."
    digits = digits_of(levels.axes.up, [base.value])
    return (
        f"The gain over low_share {largest:g} is largest at "
        f"{_level_in_words(levels.axes.across, level)}: {name} is {number(best.value, digits)} "
        f"with low_share {best.low_share:g} (alpha {best.alpha:.2f}) against "
        f"{number(base.value, digits)} (alpha {base.alpha:.2f}), "
        f"{100 * (1 - best.value / base.value):.0f} % less."
    )


def map_in_words(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The map's figure in words, for those who do not see it; empty if there is no figure."""
    axes = map_axes(rows)
    if axes is None:
        return ""
    curves = map_curves(rows, axes)
    digits = digits_of(axes.up, (p.value for curve in curves.values() for p in curve))
    points = [
        f"low_share {point.low_share:g}, alpha {point.alpha:g}: "
        f"{_level_in_words(axes.across, point.distortion)}, {number(point.value, digits)}"
        for curve in curves.values()
        for point in curve
        if point.alpha in (0, 0.5, 1)
    ]
    return f"Map of two dials, {_across(axes)} and {_name(axes, facts)}. {'; '.join(points)}."


def _levels(rows: Sequence[Row]) -> _Levels | None:
    axes = map_axes(rows)
    if axes is None:
        return None
    curves = map_curves(rows, axes)
    found = dict[float, dict[float, MapPoint]]()
    for level in _grid(curves.values(), axes.across):
        at = {share: at_distortion(curve, level) for share, curve in curves.items()}
        found[level] = {share: point for share, point in at.items() if point is not None}
    return _Levels(axes, found)


def _grid(curves: Iterable[Sequence[MapPoint]], across: Metric) -> list[float]:
    """Round levels between what alphas from 0 to 1 reach, from the most faithful on."""
    inner = [p.distortion for curve in curves for p in curve if 0 <= p.alpha <= 1]
    low, high = min(inner, default=0.0), max(inner, default=0.0)
    step = next((step for step in _STEPS if high - low < _MOST * step), _STEPS[-1])
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    levels = [round(index * step, 2) for index in numbers if index]
    return levels[::-1] if across.better == "more" else levels


def _cell(point: MapPoint | None, best: MapPoint | None, digits: int) -> Cell:
    if point is None:
        return Cell("–")
    return Cell(number(point.value, digits), f"alpha {point.alpha:.2f}", point is best)


def _level_in_words(across: Metric, level: float) -> str:
    return across.in_unit(f"{level:.2f}")


def _across(axes: CurveAxes) -> str:
    return axes.across.title


def _name(axes: CurveAxes, facts: Mapping[str, str]) -> str:
    return curve_names(facts)[axes.up.column].partition(" (")[0]
