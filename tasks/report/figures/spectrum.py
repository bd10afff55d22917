"""The operator's spectra: variances on both sides, and how much the map stretches."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tasks.report.figures.drawing import BLUE, DPI, GREEN, GREY, VERMILION, WIDTH, as_png, tidy


def operator_spectrum(
    source: Sequence[float], target: Sequence[float], gains: Sequence[float]
) -> bytes:
    """A PNG of both covariances' eigenvalues, and of the map's gains below it.

    Args:
        source: eigenvalues of the restored latent patches' covariance, largest first.
        target: those of the natural ones.
        gains: singular values of the map, largest first.
    """
    figure = Figure(figsize=(WIDTH, 4.8), layout="constrained", dpi=DPI)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw_spectrum(above, source, "o", VERMILION, "restored (source)")
    _draw_spectrum(above, target, "s", BLUE, "natural (target)")
    above.set_ylabel("variance of latent patches")
    above.legend(frameon=False)
    below.axhline(1, color=GREY, linewidth=1, linestyle=":")
    _draw_spectrum(below, gains, "^", GREEN, "gains of the map")
    below.set_ylabel("gain")
    _plain_numbers(below, gains)
    below.set_xlabel("direction, each curve sorted by itself")
    below.legend(frameon=False)
    for axes in (above, below):
        tidy(axes)
    return as_png(figure)


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
