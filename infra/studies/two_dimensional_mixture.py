"""The two-dimensional example of Deep Optimal Transport (Adrai et al. 2023, appendix A.1).

    python infra/studies/two_dimensional_mixture.py two-dimensional-mixture.png

Points x of a mixture of three Gaussians are seen under white noise, y = x + n. All that the method
stands on is known here: the posterior mean x*, samples of the posterior, and the optimal transport
of x* to the mixture. So it is seen what the map between two Gaussians, which is all that the method
fits, leaves to be wished for. It takes ten seconds of one core.
"""

import argparse
import io
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mixture import (
    ALPHAS,
    Components,
    Estimates,
    Points,
    Row,
    density,
    estimate,
    measured,
)
from PIL import Image

_INKS = ("#0072B2", "#D55E00", "#009E73")
_GREY, _FAINT = "#5A6470", "#B8C0C8"
_WIDTH, _HEIGHT, _DPI = 7.2, 8.8, 120
_ACROSS, _UP, _CELLS = (-4.2, 4.8), (-3.8, 4.4), 120
"""What the clouds show of the plane, and on how many places a side its density is computed."""


def picture(found: Estimates, rows: dict[str, Row]) -> Figure:
    """Draw clouds of points over the mixture's density, and below them error against distance."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained", dpi=_DPI)
    draw = found.draw
    panels = {
        "the truth x": draw.truth,
        "seen: y = x + noise": draw.seen,
        "posterior mean x*: α = 1": draw.posterior_mean,
        "Gaussian transport: α = 0.5": found.at(0.5),
        "Gaussian transport: α = 0": found.at(0),
        "optimal transport of x*": found.optimal,
    }
    places = figure.subplot_mosaic("abc;def;ppp", height_ratios=(5, 5, 8))
    for place, (title, points) in zip("abcdef", panels.items(), strict=True):
        _draw_cloud(places[place], points, draw.component)
        places[place].set_title(title, fontsize=9)
    _draw_plane(places["p"], rows)
    return figure


def _draw_cloud(axes: Axes, points: Points, component: Components) -> None:
    """Draw points in the colours of the Gaussians they came from, over the density of all."""
    across, up = (torch.linspace(*ends, _CELLS, dtype=torch.float64) for ends in (_ACROSS, _UP))
    heights = density(torch.cartesian_prod(across, up)).reshape(_CELLS, _CELLS).T
    for number, ink in enumerate(_INKS):
        x, y = points[component == number].T.numpy()
        axes.plot(x, y, ".", color=ink, markersize=2.6, markeredgewidth=0, alpha=0.6)
    levels = [heights.max().item() * share for share in (0.02, 0.15, 0.5)]
    axes.contour(across, up, heights, levels, colors="black", linewidths=0.6)
    axes.set(aspect="equal", xlim=_ACROSS, ylim=_UP, xticks=[], yticks=[])
    axes.spines[:].set_color(_FAINT)


def _draw_plane(axes: Axes, rows: dict[str, Row]) -> None:
    """Draw squared error against distance: both transports from alpha 1 to 0, and the sampler."""
    curve, sample = [rows[f"{alpha:g}"] for alpha in ALPHAS], rows["posterior sample"]
    _, least, _, furthest = curve[-1]
    bound = torch.linspace(0, furthest, 50)
    axes.axhline(
        rows["truth"].distance, color=_FAINT, linewidth=1.2, label="another draw of the truth"
    )
    axes.axvline(2 * least, color=_INKS[1], linestyle=":", linewidth=1.2)
    axes.plot(sample.error, sample.distance, "s", color=_INKS[1], label="sample of the posterior")
    axes.plot(
        least + (furthest - bound) ** 2,
        bound,
        "--",
        color=_GREY,
        linewidth=1.5,
        label="optimal transport: none is below",
    )
    axes.plot(
        [row.error for row in curve],
        [row.distance for row in curve],
        "o-",
        color=_INKS[0],
        linewidth=2,
        label="transport between Gaussians",
    )
    for row in curve:
        place, aside = (row.error, row.distance), (8, -10 if row is curve[0] else 4)
        axes.annotate(f"α = {row.name}", place, aside, textcoords="offset points", fontsize=9)
    axes.set(
        xlabel="mean squared error (less is better)",
        ylabel="Wasserstein distance to the truth\n(less is better)",
        ylim=(0, None),
    )
    axes.margins(x=0.06)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=9, loc="upper center")


def main() -> None:
    """Print the numbers, and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("picture", type=Path, help="PNG to write")
    parser.add_argument("--points", type=int, default=1500, help="points to draw")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    given = parser.parse_args()
    found = estimate(given.points, given.seed)
    rows = measured(found)
    print(f"{'alpha':18}  error  theory  distance")
    for name, error, theory, distance in rows.values():
        print(f"{name:18} {error:6.3f}  {theory:6.3f}  {distance:8.3f}")
    pixels = io.BytesIO()
    picture(found, rows).savefig(pixels)
    Image.open(pixels).convert("RGB").quantize(128).save(given.picture, optimize=True)


if __name__ == "__main__":
    main()
