"""Curves of a study's points: which alphas they go through, and which points have one."""

import pytest

from tasks.io.workspace import Signal
from tasks.report.pages import size_of
from tasks.report.study.curves import draw_study_curves, study_curves
from tasks.report.study.rows import StudyRow, StudyRows

FACTS = {"frechet_name": "FD-small", "lpips_name": "LPIPS (small)"}
GRID = (-1.0, 0.0, 0.5, 1.0, 2.0)


def row(signal, alpha, psnr, frechet=None, lpips=None):
    return {"signal": signal, "alpha": alpha, "psnr": psnr, "frechet": frechet, "lpips": lpips}


def point(size, task, rows):
    return {"patches.size": size, "task": task}, rows


def curve(start):
    """Rows of a curve that networks saw, with one written alpha among them."""
    rows = [row("curve", alpha, start + alpha, start - alpha, 0.1 * start) for alpha in GRID]
    return [*rows, row("enhanced", 0.0, start, start, 0.1 * start), row("input", None, 40.0, 1.0)]


def study(*measured):
    words = measured[0][0]
    rows = [StudyRow(words, "run", Signal("enhanced", 0.0), {}, {})]
    return StudyRows(rows, FACTS, [], measured=list(measured))


def drawn(axes):
    """The positions that each curve goes through: pieces end with a disc."""
    found, curve = [], set()
    for line in axes.lines:
        if line.get_marker() == "o":
            found, curve = [*found, sorted(curve)], set()
        else:
            curve |= set(line.get_xdata())
    return found


def test_each_point_has_a_line_through_all_alphas_that_networks_saw():
    found = study(point("1", "noise", curve(20.0)), point("3", "noise", curve(22.0)))
    upper, lower = draw_study_curves(found).axes
    assert drawn(upper) == [[20 + alpha for alpha in GRID], [22 + alpha for alpha in GRID]]
    assert [axes.get_ylabel().partition("\n")[0] for axes in (upper, lower)] == [
        "FD-small",
        "LPIPS",
    ]


def test_it_is_thick_where_the_theory_is_and_has_a_disc_at_alpha_0():
    (axes, _) = draw_study_curves(study(point("1", "noise", curve(20.0)))).axes
    (thick,) = (line for line in axes.lines if line.get_linewidth() == 2)
    assert list(thick.get_xdata()) == [20.0, 20.5, 21.0]
    (disc,) = (line for line in axes.lines if line.get_marker() == "o")
    assert (list(disc.get_xdata()), list(disc.get_ydata())) == ([20.0], [20.0])


@pytest.mark.parametrize("alphas", [(-0.3, 0.3, 0.9, 1.5), (-2.0, -1.0), (1.5, 2.0), (0.2, 0.8)])
def test_a_curve_has_no_gap_where_0_and_1_are_not_among_its_alphas(alphas):
    rows = [row("curve", alpha, 20 + alpha, 5.0) for alpha in alphas]
    (axes,) = draw_study_curves(study(point("1", "noise", rows))).axes
    pieces = sorted(list(line.get_xdata()) for line in axes.lines if line.get_marker() == "None")
    joined = [piece for piece in pieces if len(piece) > 1]
    assert [piece[0] for piece in joined[1:]] == [piece[-1] for piece in joined[:-1]]
    assert (joined[0][0], joined[-1][-1]) == (20 + alphas[0], 20 + alphas[-1])


def test_without_networks_on_the_curve_a_line_goes_through_written_alphas():
    bare = [row("curve", alpha, 30 + alpha) for alpha in GRID]
    written = [row("enhanced", alpha, 30 + alpha, 9 - alpha) for alpha in (0.0, 0.5)]
    (axes,) = draw_study_curves(study(point("1", "noise", [*bare, *written]))).axes
    assert drawn(axes) == [[30.0, 30.5]]


def test_colours_tell_the_values_of_the_longest_option_and_styles_the_others():
    tasks = ("noise", "blur", "rain")
    found = study(*(point(s, t, curve(20.0)) for s in ("1", "3") for t in tasks))
    figure = draw_study_curves(found)
    lines = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    looks = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert len(set(looks)) == 6
    assert [style for _, style in looks] == ["-"] * 3 + ["--"] * 3
    assert [ink for ink, _ in looks[:3]] == [ink for ink, _ in looks[3:]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == ["1, noise", "1, blur"]
    assert legend.get_title().get_text() == "patches.size, task"


def test_distances_that_are_far_apart_have_a_logarithmic_axis():
    far = [row("curve", alpha, 20 + alpha, 900 - alpha) for alpha in GRID]
    (axes, _) = draw_study_curves(
        study(point("1", "noise", curve(20.0)), point("1", "x4", far))
    ).axes
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize("rows", [[], [row("enhanced", 0.0, 20.0, 3.0), row("input", None, 25.0)]])
def test_a_study_of_single_alphas_has_no_curves(rows):
    assert study_curves(study(point("1", "noise", rows))) is None


def test_many_points_are_drawn_as_far_as_they_can_be_told_apart():
    found = study(*(point(str(n), "noise", curve(20.0 + n)) for n in range(20)))
    assert len(drawn(draw_study_curves(found).axes[0])) == 16
    picture = study_curves(found)
    assert picture.startswith(b"\x89PNG")
    assert max(size_of(picture)) < 2500
