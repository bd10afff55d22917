"""The perception-distortion curve: PSNR against a perceptual distance, alpha by alpha.

Without ground truth it is the distance to the input (IndRMSE) against the perceptual distance.
"""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.evaluate.curve import (
    Point,
    Row,
    curve_axes,
    curve_points,
    is_curve_measured,
    sampler_psnr,
)
from tasks.report.figures.drawing import BLUE, GREEN, GREY, VERMILION, as_png, single_axes
from tasks.report.figures.labels import write_labels

_CONTROLS = {"input": ("input x*", "s", VERMILION), "codec_input": ("D(E(x*))", "^", GREEN)}

ACROSS = {
    "psnr": "PSNR in dB (more is better)",
    "indrmse": "distance to the input, IndRMSE in levels of 255",
}
"""What the horizontal axis is called, by the column that it shows."""


def perception_distortion_curve(
    rows: Sequence[Row], names: Mapping[str, str], *, input_is_alpha_1: bool = False
) -> bytes | None:
    """A PNG of PSNR, or else IndRMSE, against a perceptual distance, a mark for each written alpha.

    Args:
        rows: of the summary, the curve's included.
        names: what to call the perceptual distances, by their columns.
        input_is_alpha_1: whether the line through written alphas goes on to the input.

    Returns:
        The picture, or None where there is neither of them, or no distance to show it against.
    """
    figure = draw_curve(rows, names, input_is_alpha_1=input_is_alpha_1)
    return None if figure is None else as_png(figure)


def draw_curve(
    rows: Sequence[Row], names: Mapping[str, str], *, input_is_alpha_1: bool = False
) -> Figure | None:
    """The figure of ``perception_distortion_curve``, before it is encoded as PNG."""
    shown = curve_axes(rows)
    if shown is None:
        return None
    written, grid = curve_points(rows, "enhanced", shown), curve_points(rows, "curve", shown)
    came = curve_points(rows, "input", shown) if input_is_alpha_1 else []
    line = grid if is_curve_measured(rows) else _to_alpha_1(written, came)
    figure, axes = single_axes(4.4)
    _shade_theory(axes, [*line, *written])
    _draw_line(axes, line)
    controls = {signal: curve_points(rows, signal, shown) for signal in _CONTROLS}
    for signal, points in controls.items():
        label, shape, colour = _CONTROLS[signal]
        _draw_marks(axes, points, shape, colour, label, size=9)
    _draw_marks(axes, written, "o", BLUE, "written alphas", size=6)
    if (psnr := sampler_psnr(rows)) is not None:
        label = "perfect posterior sampler: input − 3.01 dB"
        axes.axvline(psnr, color=GREY, linewidth=1.2, linestyle=":", label=label)
    axes.margins(0.1)
    axes.set_xlabel(ACROSS[shown.across.column])
    name = names.get(shown.up.column, shown.up.column).replace(
        " (", "\n("
    )  # of weights, which make it long
    axes.set_ylabel(f"{name}\n(less is better)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    marks = [*written, *(point for points in controls.values() for point in points)]
    _label_marks(axes, written, marks, line)
    return figure


def _to_alpha_1(written: Sequence[Point], came: Iterable[Point]) -> list[Point]:
    """The written points in the order of alpha, with the input at 1 unless that is written."""
    known = {point.alpha for point in written}
    more = [point._replace(alpha=1.0) for point in came if 1.0 not in known]
    return sorted([*written, *more], key=lambda point: point.alpha or 0.0)


def _in_theory(point: Point) -> bool:
    return point.alpha is not None and -1e-9 <= point.alpha <= 1 + 1e-9


def _shade_theory(axes: Axes, points: Sequence[Point]) -> None:
    """Shade what alphas from 0 to 1 reach, where the theory's bound is."""
    inside = [point.distortion for point in points if _in_theory(point)]
    if len(inside) > 1:
        axes.axvspan(min(inside), max(inside), color=BLUE, alpha=0.08, linewidth=0, label="_")


def _draw_line(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the curve: solid within the theory's range of alpha, dashed outside."""
    inside = [point for point in points if _in_theory(point)]
    if len(inside) < len(points):
        outer = [p.distortion for p in points], [p.value for p in points]
        axes.plot(*outer, "--", color=BLUE, linewidth=1.2, label="α outside [0, 1]")
    inner = [p.distortion for p in inside], [p.value for p in inside]
    axes.plot(*inner, "-", color=BLUE, linewidth=2, label="α in [0, 1] (theory)")


def _draw_marks(
    axes: Axes, points: Sequence[Point], shape: str, colour: str, label: str, *, size: int
) -> None:
    """Draw marks, with the error bars that are known."""
    if not points:
        return
    axes.errorbar(
        [point.distortion for point in points],
        [point.value for point in points],
        xerr=_bars([point.distortion_error for point in points]),
        yerr=_bars([point.value_error for point in points]),
        fmt=shape,
        color=colour,
        ecolor="#9AA3AD",
        elinewidth=0.9,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.8,
        label=label,
        zorder=3,
    )


def _bars(errors: Sequence[float | None]) -> list[float] | None:
    """Lengths of error bars; None where no error is known."""
    return [error or 0.0 for error in errors] if any(errors) else None


def _label_marks(
    axes: Axes, points: Sequence[Point], marks: Sequence[Point], line: Sequence[Point]
) -> None:
    """Write each alpha beside its mark, off the line, error bars and other marks."""
    write_labels(
        axes,
        [(f"α = {point.alpha:g}", point.distortion, point.value) for point in points],
        marks=[(mark.distortion, mark.value) for mark in marks],
        lines=[
            [(point.distortion, point.value) for point in line],
            *(
                [
                    (m.distortion - m.distortion_error, m.value),
                    (m.distortion + m.distortion_error, m.value),
                ]
                for m in marks
                if m.distortion_error
            ),
        ],
    )
