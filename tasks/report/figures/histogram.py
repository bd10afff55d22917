"""Histograms of the gains of single images over the input."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from tasks.report.figures.drawing import BLUE, DPI, GREY, WIDTH, as_png, tidy
from tasks.report.pictures.gains import Gains

_MOST_BARS = 40


def gains_histogram(gains: Mapping[str, Gains]) -> bytes | None:
    """A PNG with a histogram for each metric, by the titles of the metrics.

    None where no metric has changes of two images or more.
    """
    known = {title: found.values for title, found in gains.items() if len(found.values) > 1}
    if not known:
        return None
    figure = Figure(figsize=(WIDTH, 1.9 * len(known)), layout="constrained", dpi=DPI)
    rows = figure.subplots(len(known), 1, squeeze=False)[:, 0]
    for axes, (title, values) in zip(rows, known.items(), strict=True):
        axes.hist(values, bins=min(_MOST_BARS, 4 + 2 * int(len(values) ** 0.5)), color=BLUE)
        axes.axvline(0, color=GREY, linewidth=1, linestyle=":")
        axes.set_xlabel(f"change of {title}")
        axes.set_ylabel("images")
        tidy(axes)
    return as_png(figure)
