"""The figure of the map of two dials."""

import math

import pytest
from matplotlib.text import Annotation

from tasks.report.figures.map import draw_map, map_of_two_dials

NAMES = {"frechet": "FID", "lpips": "LPIPS-alex"}
ALPHAS = [round(-0.5 + 0.1 * number, 2) for number in range(21)]


def rows_of(shares, alphas=ALPHAS, low=10.0, high=60.0):
    """A map in which a smaller share has more PSNR at the same alpha."""
    rows = [
        {
            "signal": "map",
            "alpha": alpha,
            "low_share": share,
            "psnr": 27 - (1 + share) * (1 - alpha) ** 2,
            "frechet": low + (high - low) * alpha**2 + share,
        }
        for share in shares
        for alpha in alphas
    ]
    return [*rows, {"signal": "input", "alpha": None, "psnr": 27.0, "frechet": high}]


def labels_of(figure):
    (axes,) = figure.axes
    return [child for child in axes.get_children() if isinstance(child, Annotation)]


def test_the_map_is_a_picture_and_the_same_every_time():
    rows = rows_of([0.0, 0.5, 1.0])
    picture = map_of_two_dials(rows, NAMES)
    assert picture.startswith(b"\x89PNG")
    assert picture == map_of_two_dials(rows, NAMES)


def test_there_is_no_map_without_one_or_without_its_metrics():
    assert map_of_two_dials([], NAMES) is None
    assert map_of_two_dials([{"signal": "curve", "alpha": 0.0, "psnr": 1.0}], NAMES) is None
    nothing = [row | {"frechet": None} for row in rows_of([0.0, 1.0])]
    assert map_of_two_dials(nothing, NAMES) is None


def test_every_share_has_a_line_in_order_and_every_marked_alpha_one_across():
    (axes,) = draw_map(rows_of([0.0, 0.5, 1.0]), NAMES).axes
    shares = [line for line in axes.lines if str(line.get_label()).startswith("low_share")]
    assert [line.get_label() for line in shares] == ["low_share 0", "low_share 0.5", "low_share 1"]
    for line, share in zip(shares, (0.0, 0.5, 1.0), strict=True):  # alpha from 0 to 1
        ends = [line.get_xdata()[0], line.get_xdata()[-1]]
        assert ends == pytest.approx([26.0 - share, 27.0])
    across = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [len(line.get_xdata()) for line in across] == [3] * 10  # by 0.2, from -0.4 to 1.4
    assert {text.get_text() for text in labels_of(draw_map(rows_of([0.0, 1.0]), NAMES))} >= {
        "α = 0",
        "α = 0.2",
        "α = 0.8",
    }


def test_nothing_is_better_than_the_band():
    rows = rows_of([0.0, 1.0])
    (axes,) = draw_map(rows, NAMES).axes
    (band,) = (line for line in axes.lines if "no other" in str(line.get_label()))
    points = list(zip(band.get_xdata(), band.get_ydata(), strict=True))
    assert points[0] == (27.0, 60.0)
    for row in rows:
        better = [(x, y) for x, y in points if x < row["psnr"] and y > row["frechet"]]
        assert better == []


def test_the_frame_is_what_alphas_from_0_to_1_reach_and_logarithmic_where_that_is_much():
    (axes,) = draw_map(rows_of([0.0, 1.0]), NAMES).axes
    assert axes.get_yscale() == "log"
    assert math.isclose(sum(axes.get_xlim()), 25.0 + 27.0)
    low, high = axes.get_ylim()
    assert low < 10
    assert 61 < high < 75
    (axes,) = draw_map(rows_of([0.0, 1.0], low=40.0), NAMES).axes
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("alphas", [[0.0, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0], [0.3, 0.37]])
@pytest.mark.parametrize("shares", [[0.5], [0.0, 1.0]])
def test_few_alphas_and_shares_do(alphas, shares):
    rows = rows_of(shares, alphas)
    marked = [text.get_text() for text in labels_of(draw_map(rows, NAMES))]
    assert len(marked) == len(shares) * len([alpha for alpha in alphas if alpha < 1])
