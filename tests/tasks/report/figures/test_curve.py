"""The figures of a report."""

import io
import math

import pytest
from matplotlib.text import Annotation
from PIL import Image

from tasks.evaluate.curve import curve_axes, curve_metric
from tasks.report.figures.curve import (
    draw_curve,
    perception_distortion_curve,
)
from tasks.report.figures.spectrum import operator_spectrum

NAMES = {"frechet": "FID", "lpips": "LPIPS-alex", "gelbrich": "Gelbrich"}


def row(signal="enhanced", alpha=0.0, psnr=20.0, gelbrich=1.0, **values):
    return {"signal": signal, "alpha": alpha, "psnr": psnr, "gelbrich": gelbrich, **values}


def is_picture(data):
    with Image.open(io.BytesIO(data)) as image:
        return image.format == "PNG" and min(image.size) > 300


def test_a_curve_is_a_picture_and_the_same_every_time():
    rows = [row(), row(alpha=1.0, psnr=22.0, gelbrich=2.0), row("input", None, 23.0)]
    first = perception_distortion_curve(rows, NAMES)
    assert first == perception_distortion_curve(rows, NAMES)
    assert is_picture(first)


def test_there_is_no_curve_without_distortion_or_perception():
    assert perception_distortion_curve([row(psnr=None)], NAMES) is None
    assert perception_distortion_curve([row(gelbrich=None)], NAMES) is None
    assert perception_distortion_curve([row("input", None)], NAMES) is None
    assert perception_distortion_curve([], NAMES) is None


def test_infinite_psnr_is_left_out_of_the_curve():
    rows = [row(), row(alpha=1.0, psnr=float("inf"), gelbrich=float("inf"))]
    assert perception_distortion_curve(rows, NAMES) is not None


def test_the_curve_shows_the_best_distance_that_was_measured():
    assert curve_metric([row()]).column == "gelbrich"
    assert curve_metric([row(lpips=0.1)]).column == "lpips"
    assert curve_metric([row(lpips=0.1), row("curve", frechet=3.0)]).column == "frechet"
    (axes,) = draw_curve([row(frechet=3.0), row(alpha=1.0, frechet=4.0)], NAMES).axes
    assert axes.get_ylabel().startswith("FID")


def test_without_psnr_the_curve_is_of_the_distance_to_the_input():
    rows = [row(alpha=a, psnr=None, indrmse=8 * (1 - a), frechet=40 + 50 * a) for a in (0, 0.5, 1)]
    rows.append(row("input", None, psnr=None, indrmse=0.0, frechet=90.0, indrmse_error=0.0))
    (axes,) = draw_curve(rows, NAMES).axes
    (line,) = (line for line in axes.lines if "theory" in str(line.get_label()))
    assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == {8: 40, 4: 65, 0: 90}
    assert axes.get_xlabel().startswith("distance to the input, IndRMSE")
    assert axes.get_ylabel().startswith("FID")
    assert not [line for line in axes.lines if "sampler" in str(line.get_label())]
    assert curve_axes([*rows, row(frechet=41.0)]).across.column == "psnr"


def labels_and_axes(rows):
    figure = draw_curve(rows, NAMES)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    labels = [child for child in axes.get_children() if isinstance(child, Annotation)]
    return [label.get_window_extent() for label in labels], axes.bbox, labels


CURVES = {
    "one alpha": [row()],
    "a corner": [row(alpha=a / 4, psnr=20 + a, gelbrich=1 + a * a) for a in range(5)],
    "down": [row(alpha=a / 4, psnr=20 + a, gelbrich=9 - a) for a in range(5)],
    "flat": [row(alpha=a / 4, psnr=20.0, gelbrich=1 + a / 100) for a in range(5)],
    "crowded": [row(alpha=a / 100, psnr=20 + a / 1e4, gelbrich=1.0) for a in range(30)],
    "errors": [row(psnr_error=3.0, lpips=0.3, lpips_error=0.1), row(alpha=0.5, lpips=0.2)],
    "afar": [row(), row(alpha=2.0, psnr=-30.0, gelbrich=1e6), row("input", None, 60.0, 2.0)],
}


@pytest.mark.parametrize("name", CURVES)
def test_labels_stay_within_the_axes(name):
    boxes, axes, _ = labels_and_axes(CURVES[name])
    assert len(boxes) == len([r for r in CURVES[name] if r["signal"] == "enhanced"])
    for box in boxes:
        assert axes.x0 <= box.x0
        assert box.x1 <= axes.x1
        assert axes.y0 <= box.y0
        assert box.y1 <= axes.y1


def test_labels_do_not_cover_each_other_where_there_is_room():
    boxes, _, labels = labels_and_axes(CURVES["a corner"])
    assert [label.get_text() for label in labels] == [f"α = {a / 4:g}" for a in range(5)]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_theory_is_solid_and_shaded_and_what_lies_outside_is_dashed():
    grid = [row("curve", a / 10, 20 + a / 10, 1 + a * a) for a in range(-10, 21)]
    (axes,) = draw_curve([*grid, row(), row(alpha=0.5, psnr=20.5)], NAMES).axes
    styles = {line.get_label(): line for line in axes.lines}
    assert styles["α outside [0, 1]"].get_linestyle() == "--"
    inner = styles["α in [0, 1] (theory)"]
    assert inner.get_linestyle() == "-"
    assert len(inner.get_xdata()) == 11
    (shade,) = axes.patches
    assert shade.get_x() == 20.0
    assert shade.get_width() == pytest.approx(1.0)


def test_a_perfect_posterior_sampler_is_where_the_squared_error_of_the_input_is_doubled():
    doubled = -10 * math.log10(2 * 10 ** (-22.0 / 10))
    (axes,) = draw_curve([row(), row("input", None, 22.0, 3.0)], NAMES).axes
    (line,) = (line for line in axes.lines if "sampler" in str(line.get_label()))
    assert line.get_xdata() == pytest.approx([doubled, doubled])
    (axes,) = draw_curve([row(), row("input", None, float("inf"), 3.0)], NAMES).axes
    assert not [line for line in axes.lines if "sampler" in str(line.get_label())]


def test_the_line_goes_through_written_alphas_where_the_grid_has_no_distance():
    grid = [row("curve", a / 10, 20.0 + a, None) for a in range(5)]
    (axes,) = draw_curve([*grid, row(), row(alpha=1.0, psnr=22.0)], NAMES).axes
    (line,) = (line for line in axes.lines if line.get_label().startswith("α in"))
    assert list(line.get_xdata()) == [20.0, 22.0]


@pytest.mark.parametrize(
    "values", [[3.0], [4.0, 1.0, 0.0], [10.0**-i for i in range(60)]], ids=["one", "zero", "many"]
)
def test_a_spectrum_is_a_picture_and_the_same_every_time(values):
    first = operator_spectrum(values, values, values)
    assert first == operator_spectrum(values, values, values)
    assert is_picture(first)


def test_the_line_through_written_alphas_goes_on_to_the_input():
    def reached(rows):
        axes = draw_curve(rows, NAMES, input_is_alpha_1=True).axes[0]
        (line,) = (line for line in axes.lines if "theory" in str(line.get_label()))
        return list(line.get_xdata())

    rows = [row(), row(alpha=0.5, psnr=20.5), row("input", None, psnr=22.0)]
    assert reached(rows) == [20.0, 20.5, 22.0]
    assert reached([*rows, row(alpha=1.0, psnr=21.9)]) == [20.0, 20.5, 21.9]
