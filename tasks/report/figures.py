"""Figures of the report as PNG, drawn without a screen; equal input gives equal bytes."""

import io
import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tasks.evaluate.curve import Point, Row, curve_metric, curve_points, is_curve_measured
from tasks.report.figure_labels import write_labels

_WIDTH, _DPI = 5.0, 166
"""Width in inches, and pixels per inch: narrow, so that letters are large on a phone."""

# Apart for colour-blind readers (Okabe & Ito), and different in shape too.
_BLUE, _VERMILION, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#5A6470"

_CONTROLS = {"input": ("input x*", "s", _VERMILION), "codec_input": ("D(E(x*))", "^", _GREEN)}


def perception_distortion_curve(rows: Sequence[Row], names: Mapping[str, str]) -> bytes | None:
    """A PNG of PSNR against a perceptual distance, a mark for each written alpha.

    Args:
        rows: of the summary, the curve's included.
        names: what to call the perceptual distances, by their columns.

    Returns:
        The picture, or None where there is no PSNR, or no distance to show it against.
    """
    figure = draw_curve(rows, names)
    return None if figure is None else _png(figure)


def draw_curve(rows: Sequence[Row], names: Mapping[str, str]) -> Figure | None:
    """The figure of ``perception_distortion_curve``, before it is encoded as PNG."""
    metric = curve_metric(rows)
    if metric is None:
        return None
    written, grid = curve_points(rows, "enhanced", metric), curve_points(rows, "curve", metric)
    line = grid if is_curve_measured(rows) else written
    figure, axes = _figure()
    _shade_theory(axes, [*line, *written])
    _draw_line(axes, line)
    controls = {signal: curve_points(rows, signal, metric) for signal in _CONTROLS}
    for signal, points in controls.items():
        label, shape, colour = _CONTROLS[signal]
        _draw_marks(axes, points, shape, colour, label, size=9)
    _draw_marks(axes, written, "o", _BLUE, "written alphas", size=6)
    axes.margins(0.1)
    axes.set_xlabel("PSNR in dB (more is better)")
    name = names.get(metric.column, metric.column).replace(
        " (", "\n("
    )  # of weights, which make it long
    axes.set_ylabel(f"{name}\n(less is better)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    marks = [*written, *(point for points in controls.values() for point in points)]
    _label_marks(axes, written, marks, line)
    return figure


def operator_spectrum(
    source: Sequence[float], target: Sequence[float], gains: Sequence[float]
) -> bytes:
    """A PNG of both covariances' eigenvalues, and of the map's gains below it.

    Args:
        source: eigenvalues of the restored latent patches' covariance, largest first.
        target: those of the natural ones.
        gains: singular values of the map, largest first.
    """
    figure = Figure(figsize=(_WIDTH, 4.8), layout="constrained", dpi=_DPI)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_spectrum(above, source, "o", _VERMILION, "restored (source)")
    _draw_spectrum(above, target, "s", _BLUE, "natural (target)")
    above.set_ylabel("variance of latent patches")
    above.legend(frameon=False)
    below.axhline(1, color=_GREY, linewidth=1, linestyle=":")
    _draw_spectrum(below, gains, "^", _GREEN, "gains of the map")
    below.set_ylabel("gain")
    _plain_numbers(below, gains)
    below.set_xlabel("direction, each curve sorted by itself")
    below.legend(frameon=False)
    for axes in (above, below):
        _tidy(axes)
    return _png(figure)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 4.4), layout="constrained", dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _tidy(axes)
    return figure, axes


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _in_theory(point: Point) -> bool:
    return point.alpha is not None and -1e-9 <= point.alpha <= 1 + 1e-9


def _shade_theory(axes: Axes, points: Sequence[Point]) -> None:
    """Shade the PSNRs of alphas from 0 to 1, where the theory's bound is."""
    inside = [point.psnr for point in points if _in_theory(point)]
    if len(inside) > 1:
        axes.axvspan(min(inside), max(inside), color=_BLUE, alpha=0.08, linewidth=0, label="_")


def _draw_line(axes: Axes, points: Sequence[Point]) -> None:
    """Draw the curve: solid within the theory's range of alpha, dashed outside."""
    inside = [point for point in points if _in_theory(point)]
    if len(inside) < len(points):
        outer = [p.psnr for p in points], [p.value for p in points]
        axes.plot(*outer, "--", color=_BLUE, linewidth=1.2, label="α outside [0, 1]")
    inner = [p.psnr for p in inside], [p.value for p in inside]
    axes.plot(*inner, "-", color=_BLUE, linewidth=2, label="α in [0, 1] (theory)")


def _draw_marks(
    axes: Axes, points: Sequence[Point], shape: str, colour: str, label: str, *, size: int
) -> None:
    """Draw marks, with the error bars that are known."""
    if not points:
        return
    axes.errorbar(
        [point.psnr for point in points],
        [point.value for point in points],
        xerr=_bars([point.psnr_error for point in points]),
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
        [(f"α = {point.alpha:g}", point.psnr, point.value) for point in points],
        marks=[(mark.psnr, mark.value) for mark in marks],
        lines=[
            [(point.psnr, point.value) for point in line],
            *(
                [(m.psnr - m.psnr_error, m.value), (m.psnr + m.psnr_error, m.value)]
                for m in marks
                if m.psnr_error
            ),
        ],
    )


def _draw_spectrum(
    axes: Axes, values: Sequence[float], shape: str, colour: str, label: str
) -> None:
    """Draw positive values on a logarithmic axis, with marks where they are few."""
    shown = [value if value > 0 else math.nan for value in values]
    marker = shape if len(values) <= 48 else ""
    style = "--" if shape == "s" else "-"
    axes.semilogy(
        range(1, len(shown) + 1), shown, style, color=colour, marker=marker, ms=4, label=label
    )


def _plain_numbers(axes: Axes, values: Sequence[float]) -> None:
    """Write 0.5 and not 5 × 10⁻¹, and 2 and 5 between the powers of ten if there is room."""
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    positive = [value for value in values if value > 0]
    narrow = bool(positive) and max(positive) < 1000 * min(positive)
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.yaxis.set_minor_formatter(plain if narrow else NullFormatter())


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure", metadata={"Software": None})
    return out.getvalue()
