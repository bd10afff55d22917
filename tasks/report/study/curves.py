"""The curves of a study's points in the plane of distortion and perception, in one picture."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from tasks.evaluate.curve import CurveAxes, Point, curve_axes, curve_points
from tasks.io.artifacts.metric_registry import curve_names, perceptual_distances
from tasks.report.figures.curve import ACROSS
from tasks.report.figures.drawing import DPI, as_png, tidy
from tasks.report.study.figure import INKS, literal
from tasks.report.study.rows import StudyRows

_STYLES = ("-", "--", ":", "-.")

_MOST_PANELS = 2
"""Perceptual distances that are drawn, side by side: the preferred ones."""

_LETTERS_AN_INCH, _LETTERS_OF_A_LINE = 12, 6
"""Of the legend: how wide its words are, and what stands for a line before them."""

_MOST = 16
"""Lines in a picture; of more points, those of the first are drawn."""

_FAR = 8
"""From this ratio of the largest distance to the smallest on, their axis is logarithmic."""


class _Line(NamedTuple):
    """What is drawn of a point of the study: at least two alphas, ascending."""

    words: Mapping[str, str]
    alphas: list[Point]


def study_curves(found: StudyRows) -> bytes | None:
    """A PNG of distortion against perceptual distances, a line for each point of the study.

    It goes through the alphas of ``evaluate.curve`` if networks saw them, or else through the
    written ones. None where no point has two of either.
    """
    figure = draw_study_curves(found)
    return None if figure is None else as_png(figure)


def draw_study_curves(found: StudyRows) -> Figure | None:
    """The figure of ``study_curves``, before it is encoded as PNG."""
    shown = curve_axes(chain.from_iterable(rows for _, rows in found.measured))
    if shown is None:
        return None
    panels = dict[CurveAxes, list[_Line]]()
    for up in perceptual_distances():
        axes = CurveAxes(shown.across, up)
        if up.column != "gelbrich" and (lines := list(_lines(found, axes))):
            panels[axes] = lines[:_MOST]
    first = dict(list(panels.items())[:_MOST_PANELS])
    return _drawn(first, curve_names(found.facts)) if first else None


def _lines(found: StudyRows, axes: CurveAxes) -> Iterator[_Line]:
    for words, rows in found.measured:
        for signal in ("curve", "enhanced"):
            alphas = curve_points(rows, signal, axes)
            if len(alphas) > 1:
                yield _Line(words, alphas)
                break


def _drawn(panels: Mapping[CurveAxes, Sequence[_Line]], names: Mapping[str, str]) -> Figure:
    inked = _inked([line.words for lines in panels.values() for line in lines])
    width = 4.6 * len(panels)
    columns = max(1, int(width * _LETTERS_AN_INCH / (max(map(len, inked)) + _LETTERS_OF_A_LINE)))
    height = 3.6 + 0.22 * math.ceil(len(inked) / columns)
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    handles = dict[str, Line2D]()
    for axes, (shown, lines) in zip(grid, panels.items(), strict=True):
        tidy(axes)
        for line in lines:
            label = _label(line.words)
            handles.setdefault(label, _draw(axes, line, *inked[label]))
        _scale(axes, [point.value for line in lines for point in line.alphas])
        name = names.get(shown.up.column, shown.up.column).replace(" (", "\n(")
        axes.set_ylabel(f"{name}\n(less is better)", fontsize=9)
        axes.set_xlabel(ACROSS[shown.across.column], fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    legend = figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        fontsize=9,
    )
    legend.set_title(literal(", ".join(next(iter(panels.values()))[0].words)))
    legend.set_frame_on(False)
    return figure


def _draw(axes: Axes, line: _Line, ink: str, style: str) -> Line2D:
    """Draw a line, thin beyond alpha 0 and 1, with a disc at the alpha that is nearest to 0.

    Returns what stands for it in the legend.
    """
    known = [point.alpha or 0.0 for point in line.alphas]
    first, last = bisect_left(known, -1e-9), bisect_right(known, 1 + 1e-9)
    beyond = line.alphas[: first + 1], line.alphas[max(last - 1, 0) :]
    for points, width in ((beyond[0], 0.8), (beyond[1], 0.8), (line.alphas[first:last], 2.0)):
        x, y = [point.distortion for point in points], [point.value for point in points]
        (drawn,) = axes.plot(x, y, style, color=ink, linewidth=width)
    nearest = min(line.alphas, key=lambda point: abs(point.alpha or 0.0))
    axes.plot(nearest.distortion, nearest.value, "o", color=ink, markeredgecolor="white")
    return drawn


def _scale(axes: Axes, values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) > _FAR * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _label(words: Mapping[str, str]) -> str:
    return literal(", ".join(words.values()))


def _inked(words: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Return colour and style of each line by its label.

    Colours are by the option that has most values, styles by all others.
    """
    values = {o: list(dict.fromkeys(each[o] for each in words)) for o in words[0]}
    coloured = max(values, key=lambda option: len(values[option]))
    others = list(dict.fromkeys(_others(each, coloured) for each in words))
    return {
        _label(each): (
            INKS[values[coloured].index(each[coloured]) % len(INKS)],
            _STYLES[others.index(_others(each, coloured)) % len(_STYLES)],
        )
        for each in words
    }


def _others(words: Mapping[str, str], coloured: str) -> tuple[str, ...]:
    return tuple(word for option, word in words.items() if option != coloured)
