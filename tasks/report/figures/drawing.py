"""Paper and ink of the figures: sizes, colours, axes, and the picture that is made of them."""

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH, DPI = 5.0, 166
"""Width in inches, and pixels per inch: narrow, so that letters are large on a phone."""

# Apart for colour-blind readers (Okabe & Ito), and different in shape too.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#5A6470"


def single_axes(height: float) -> tuple[Figure, Axes]:
    """A figure of this height in inches, with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    tidy(axes)
    return figure, axes


def tidy(axes: Axes) -> None:
    """Give axes a faint grid, and take away the lines above and on the right."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def as_png(figure: Figure) -> bytes:
    """The figure as PNG."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi="figure", metadata={"Software": None})
    return out.getvalue()
