"""Labels of a figure: beside their marks, inside the axes, and clear of everything else."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import BboxBase

Position = tuple[float, float]
"""A point in the units of the axes."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, in pixels."""

_ANCHORS = (
    ((7, 5), "left", "bottom"),
    ((7, -5), "left", "top"),
    ((-7, 5), "right", "bottom"),
    ((-7, -5), "right", "top"),
    ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"),
    ((11, 0), "left", "center"),
    ((-11, 0), "right", "center"),
)
"""Offsets of a label from its mark, in points, with its alignment; the best first."""

_MARK, _LINE, _STEP = 7, 4, 8
"""Half the width of marks and lines, and from one box on a line to the next, in pixels."""


def write_labels(
    axes: Axes,
    labels: Sequence[tuple[str, float, float]],
    *,
    marks: Iterable[Position],
    lines: Iterable[Sequence[Position]],
) -> None:
    """Write texts beside their positions; what is drawn later can shift the layout under them.

    Args:
        axes: with everything else drawn.
        labels: texts and where they belong.
        marks: what they must not cover, of the size of a mark.
        lines: what they should not cross.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("axes must be in a figure, got none")
    figure.draw_without_rendering()  # fixes the layout, without which there is no inside
    taken = [_around(axes, mark) for mark in marks]
    taken += [box for line in lines for box in _along(axes, line)]
    for text, x, y in labels:
        taken.append(_put(axes, text, (x, y), taken))


def _around(axes: Axes, position: Position) -> Box:
    x, y = axes.transData.transform(position)
    return x - _MARK, y - _MARK, x + _MARK, y + _MARK


def _along(axes: Axes, line: Sequence[Position]) -> Iterator[Box]:
    """Small boxes along a line, a few pixels apart."""
    for (x, y), (to_x, to_y) in pairwise(axes.transData.transform(list(line)) if line else []):
        steps = max(1, round(math.hypot(to_x - x, to_y - y) / _STEP))
        for step in range(steps):
            share = step / steps
            at_x, at_y = x + share * (to_x - x), y + share * (to_y - y)
            yield at_x - _LINE, at_y - _LINE, at_x + _LINE, at_y + _LINE


def _put(axes: Axes, text: str, position: Position, taken: Sequence[Box]) -> Box:
    """Write a label at the first offset where it covers nothing, or else at that of least overlap.

    Returns the box that it takes.
    """
    label = axes.annotate(text, position, (0, 0), textcoords="offset points", fontsize=9)
    label.set_in_layout(False)
    label.set_path_effects([withStroke(linewidth=3, foreground="white")])
    label.set_zorder(5)
    inside = _extents(axes.bbox.padded(-2))

    def box_at(number: int) -> Box:
        offset, horizontal, vertical = _ANCHORS[number]
        label.set(position=offset, horizontalalignment=horizontal, verticalalignment=vertical)
        return _extents(label.get_window_extent())

    def overlap_at(number: int) -> float:
        box = box_at(number)
        outside = _area(box) - _overlap(box, inside)
        return 100 * outside + sum(_overlap(box, other) for other in taken)

    return box_at(min(range(len(_ANCHORS)), key=overlap_at))


def _extents(box: BboxBase) -> Box:
    return float(box.x0), float(box.y0), float(box.x1), float(box.y1)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)
