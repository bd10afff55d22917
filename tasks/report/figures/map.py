"""The map of two dials: a curve for each share of low frequencies, crossed by lines of one alpha.

It is the net of alpha and share, laid over the plane of distortion and perception.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tasks.evaluate.curve import (
    MapPoint,
    Row,
    between,
    curve_points,
    map_axes,
    map_curves,
    unbeaten,
)
from tasks.report.figures.curve import ACROSS
from tasks.report.figures.drawing import GREY, VERMILION, as_png, single_axes
from tasks.report.figures.labels import write_labels

_STEPS = (0.2, 0.25, 0.5, 1.0)
"""From one marked alpha to the next: the first of these whose multiples were measured."""

_FINE = 20
"""Parts into which the way between two measured alphas is cut: curves cross there."""

_FRAME = 0.08
"""Of the width and height of what alphas from 0 to 1 reach, how much is shown beside it."""


_WIDE = 3
"""How often the largest distance must hold the smallest for a logarithmic axis."""


def map_of_two_dials(rows: Sequence[Row], names: Mapping[str, str]) -> bytes | None:
    """A PNG of PSNR, or else IndRMSE, against a perceptual distance, for every alpha and share.

    Args:
        rows: of the summary, the map's included.
        names: what to call the perceptual distances, by their columns.

    Returns:
        The picture, or None where there is no map, or none of its metrics was measured.
    """
    figure = draw_map(rows, names)
    return None if figure is None else as_png(figure)


def draw_map(rows: Sequence[Row], names: Mapping[str, str]) -> Figure | None:
    """The figure of ``map_of_two_dials``, before it is encoded as PNG."""
    shown = map_axes(rows)
    if shown is None:
        return None
    curves = map_curves(rows, shown)
    figure, axes = single_axes(4.8)
    marked = _marked({p.alpha for curve in curves.values() for p in curve})
    for number, (share, curve) in enumerate(curves.items()):
        marks = [p for p in curve if p.alpha in marked]
        _draw_curve(axes, curve, marks, f"low_share {share:g}", _colour(number, len(curves)))
    for alpha in marked:
        _draw_across(axes, [p for curve in curves.values() for p in curve if p.alpha == alpha])
    _draw_best(axes, unbeaten(chain.from_iterable(map(_between, curves.values())), shown))
    for came in curve_points(rows, "input", shown):
        axes.plot(
            [came.distortion],
            [came.value],
            "s",
            color=VERMILION,
            markersize=9,
            markeredgecolor="white",
            label="input x*",
            zorder=4,
        )
    axes.set_xlabel(ACROSS[shown.across.column])
    name = names.get(shown.up.column, shown.up.column).replace(" (", "\n(")
    axes.set_ylabel(f"{name}\n(less is better)")
    _frame(axes, curves.values())
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    _label_alphas(axes, curves, marked)
    return figure


def _colour(number: int, count: int) -> tuple[float, float, float]:
    """Colours of ordered values, from dark to light, which differ in grey too."""
    light = number / (count - 1) if count > 1 else 0.0
    return 0.38 * light, 0.18 + 0.54 * light, 0.38 + 0.6 * light


def _marked(alphas: Collection[float]) -> list[float]:
    """The alphas that are marked: in even steps, if they were measured."""
    for step in _STEPS:
        wanted = [round(number * step, 2) for number in range(round(1 / step) + 1)]
        if set(wanted) <= set(alphas):
            return sorted(a for a in alphas if abs(a / step - round(a / step)) < 1e-6)
    return sorted(alphas)


def _between(curve: Sequence[MapPoint]) -> Iterator[MapPoint]:
    """The points of a curve in their order, with more of them between any two neighbours."""
    for a, b in pairwise(curve):
        yield a
        yield from (between(a, b, part / _FINE) for part in range(1, _FINE))
    yield from curve[-1:]


def _draw_best(axes: Axes, best: Sequence[MapPoint]) -> None:
    """A broad band through the points that no other beats in both directions."""
    label = "no other pair is better in both"
    line = _across_and_up(best)
    axes.plot(*line, "-", color="#F0E442", linewidth=9, alpha=0.55, label=label, zorder=1)


def _draw_curve(
    axes: Axes,
    curve: Sequence[MapPoint],
    marks: Sequence[MapPoint],
    label: str,
    colour: tuple[float, float, float],
) -> None:
    """The curve of one share: solid within the theory's range of alpha, dashed outside."""
    fine = list(_between(curve))
    axes.plot(*_across_and_up(fine), "--", color=colour, linewidth=1.1, zorder=2)
    inner = [p for p in fine if -1e-9 <= p.alpha <= 1 + 1e-9]
    axes.plot(*_across_and_up(inner), "-", color=colour, linewidth=2, label=label, zorder=2)
    axes.plot(
        *_across_and_up(marks),
        "o",
        color=colour,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=3,
    )


def _draw_across(axes: Axes, points: Sequence[MapPoint]) -> None:
    """The line of one alpha across the shares."""
    axes.plot(*_across_and_up(points), ":", color=GREY, linewidth=1, zorder=1.5)


def _across_and_up(points: Sequence[MapPoint]) -> tuple[list[float], list[float]]:
    return [p.distortion for p in points], [p.value for p in points]


def _frame(axes: Axes, curves: Iterable[Sequence[MapPoint]]) -> None:
    """Show what alphas from 0 to 1 reach, and a little around it.

    The vertical axis is logarithmic where it spans much, so that equal steps are equal shares.
    """
    inner = [p for curve in curves for p in curve if -1e-9 <= p.alpha <= 1 + 1e-9]
    across, up = ([p[index] for p in inner] for index in (2, 3))
    if not inner:
        return
    margin = _FRAME * (max(across) - min(across))
    if margin > 0:
        axes.set_xlim(min(across) - margin, max(across) + margin)
    if 0 < _WIDE * min(up) < max(up):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        more = (max(up) / min(up)) ** _FRAME
        axes.set_ylim(min(up) / more, max(up) * more)
    elif min(up) < max(up):
        margin = _FRAME * (max(up) - min(up))
        axes.set_ylim(min(up) - margin, max(up) + margin)


def _label_alphas(
    axes: Axes, curves: Mapping[float, Sequence[MapPoint]], marked: Collection[float]
) -> None:
    """Write each marked alpha beside its marks on the outermost curves."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    ends = [curves[share] for share in dict.fromkeys((min(curves), max(curves)))]
    labels = [
        (f"α = {p.alpha:g}".replace("-", "−"), p.distortion, p.value)
        for curve in ends
        for p in curve
        if p.alpha in marked and p.alpha < 1
        if left <= p.distortion <= right and low <= p.value <= high
    ]
    lines = [[(p.distortion, p.value) for p in curve] for curve in curves.values()]
    write_labels(axes, labels, marks=[(x, y) for _, x, y in labels], lines=lines)
