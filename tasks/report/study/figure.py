"""The figure of a study: metrics against its first option, a line for each value of the second."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tasks.io.artifacts.metric_registry import Metric
from tasks.report.figures.drawing import BLUE, DPI, GREEN, GREY, VERMILION, as_png, tidy
from tasks.report.study.rows import StudyRow, StudyRows
from tasks.report.tables.names import heading

_MARKS = ("o", "s", "^", "D", "v", "P", "X", "<")
INKS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", GREY, "#000000")
"""Colours of lines, in their order."""

_METRICS = ("psnr", "lpips", "frechet", "niqe", "gelbrich")
"""What is drawn, one above the other, as far as it was measured; three at most. Without ground
truth the distance to the input is in the place of PSNR."""

_MOST = 3

_MOST_PANELS = 12
"""Panels side by side; with more, those of the first values are drawn."""

_LETTERS_AN_INCH = 11
"""How many letters of a word an inch has room for."""

_ASIDE, _MOST_ASIDE = 0.06, 0.6
"""How far lines stand beside each other, so that none hides another's bars; and all of them."""


class _Axis(NamedTuple):
    """An option and the words of its values, in their order."""

    option: str
    words: list[str]


def study_figure(found: StudyRows) -> bytes | None:
    """A PNG of metrics against the first option, with error bars.

    The second option has lines. Metrics are side by side, or one above the other where all values
    of further options have panels. None where no metric was measured.
    """
    rows = shown_in_figure(found)
    if not rows:
        return None
    known = {metric.column: metric for metric in found.comparable}
    columns = _METRICS if "psnr" in known else ("indrmse", *_METRICS)
    metrics = [known[column] for column in columns if column in known][:_MOST]
    if not metrics:
        return None
    axes = [
        _Axis(option, _in_order(dict.fromkeys(row.words[option] for row in rows)))
        for option in rows[0].words
    ]
    return as_png(_drawn(rows, axes, metrics, found.facts))


def _in_order(words: Iterable[str]) -> list[str]:
    """Return numbers from the smallest on, and words as they came, the first point's before all."""
    listed = list(words)
    try:
        return sorted(listed, key=float)
    except ValueError:
        return listed


def shown_in_figure(found: StudyRows) -> list[StudyRow]:
    """The rows that the figure shows: those of the written alpha that is nearest to 0."""
    rows = [row for row in found.rows if row.signal.name == "enhanced"]
    alphas = {row.signal.alpha or 0.0 for row in rows}
    return [row for row in rows if row.signal.alpha == min(alphas, key=lambda a: (abs(a), a))]


def _drawn(
    rows: Sequence[StudyRow],
    options: Sequence[_Axis],
    metrics: Sequence[Metric],
    facts: Mapping[str, str],
) -> Figure:
    across, *others = options
    lines, further = others[0] if others else None, others[1:]
    panels = [
        dict(zip((each.option for each in further), words, strict=True))
        for words in islice(product(*(each.words for each in further)), _MOST_PANELS)
    ]
    width, is_flat = max(3.2, 0.5 * len(across.words)), len(panels) == 1
    beside, down = (len(metrics), 1) if is_flat else (len(panels), len(metrics))
    size = 0.8 + width * beside, 1.0 + 2.2 * down
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        down, beside, squeeze=False, sharex=True, sharey="none" if is_flat else "row"
    )
    by_metric = grid.T if is_flat else grid
    for row_of_axes, metric in zip(by_metric, metrics, strict=True):
        for axes, panel in zip(row_of_axes, panels, strict=True):
            own = [row for row in rows if row.words.items() >= panel.items()]
            _draw(axes, own, across, lines, metric)
            _name_values(axes, across, width)
        row_of_axes[0].set_ylabel(heading(metric, facts).replace(" (", "\n("))
    for axes, panel in zip(by_metric[0], panels, strict=True):
        told = "\n".join(f"{option} {word}" for option, word in panel.items())
        axes.set_title(literal(told), fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel(literal(across.option))
    if lines is not None:
        _add_legend(figure, *grid[0][0].get_legend_handles_labels())
    return figure


def _add_legend(figure: Figure, handles: list[Artist], labels: list[str]) -> None:
    """Say below the panels what the lines are, in as many columns as there is room for."""
    room = int(figure.get_figwidth() * _LETTERS_AN_INCH)
    columns = max(1, min(len(labels), room // (max(map(len, labels)) + 6)))
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)
    legend.set_frame_on(False)


def _name_values(axes: Axes, across: _Axis, width: float) -> None:
    """Write the words of an axis, of so many inches, below it: none over another.

    They are cut into lines at spaces and dashes; where that is not enough they are turned.
    """
    room = int(width * _LETTERS_AN_INCH / len(across.words)) - 1
    cut = [textwrap.wrap(word, max(room, 1), break_long_words=False) for word in across.words]
    fits = all(len(line) <= room for lines in cut for line in lines)
    shown = ["\n".join(lines) for lines in cut] if fits else across.words
    turned: dict[str, Any] = (
        {} if fits else {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    )
    axes.set_xticks(range(len(shown)), [literal(word) for word in shown], **turned)


def _draw(
    axes: Axes, rows: Sequence[StudyRow], across: _Axis, lines: _Axis | None, metric: Metric
) -> None:
    """Draw a metric against the first option, a line for each value of the second.

    Thin bars are the standard error of a value, thick ones that of its difference to the first
    point, which the images that both share do not blur.
    """
    tidy(axes)
    words = lines.words if lines else [""]
    apart = min(_ASIDE, _MOST_ASIDE / len(words))
    for number, word in enumerate(words):
        own = [row for row in rows if lines is None or row.words[lines.option] == word]
        own = [row for row in own if row.values.get(metric.column) is not None]
        own.sort(key=lambda row: across.words.index(row.words[across.option]))
        aside = apart * (number - (len(words) - 1) / 2)
        x = [across.words.index(row.words[across.option]) + aside for row in own]
        y = [row.values[metric.column] for row in own]
        ink = INKS[number % len(INKS)]
        thin, thick = [_error(row, metric) for row in own], [_paired(row, metric) for row in own]
        axes.errorbar(x, y, yerr=thin, fmt="none", ecolor=ink, elinewidth=0.7, alpha=0.45)
        axes.errorbar(x, y, yerr=thick, fmt="none", ecolor=ink, elinewidth=3)
        mark = _MARKS[number % len(_MARKS)]
        axes.plot(
            x,
            y,
            f"-{mark}",
            color=ink,
            label=literal(f"{lines.option} {word}" if lines else word),
            markersize=5,
            linewidth=1.3,
            markeredgecolor="white",
        )
    axes.margins(x=0.15 if len(across.words) > 1 else 0.5)


def literal(words: str) -> str:
    """Return words as matplotlib draws them letter by letter: no formula, and none left out."""
    drawn = words.replace("$", r"\$")
    return f"\u200b{drawn}" if drawn.startswith("_") else drawn


def _error(row: StudyRow, metric: Metric) -> float:
    """Half the length of a thin bar; 0 where no error is known."""
    return 0.0 if metric.error is None else row.values.get(metric.error.column) or 0.0


def _paired(row: StudyRow, metric: Metric) -> float:
    """Half the length of a thick bar; 0 for the first point, and where no error is known."""
    change = row.changes.get(metric.column)
    return 0.0 if change is None else change.error or 0.0
