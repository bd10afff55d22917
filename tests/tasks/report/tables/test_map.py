"""The map of two dials as tables and in words, from hand-made rows."""

import pytest

from tasks.config import Config
from tasks.evaluate.curve import at_distortion, map_axes, map_curves, unbeaten
from tasks.evaluate.summarise import NAMES
from tasks.io.artifacts.metrics import fidelity_schema
from tasks.report.missing_metrics import unmet_wishes
from tasks.report.tables.map import (
    gain_in_words,
    levels_table,
    levels_title,
    map_in_words,
    map_table,
)
from tasks.report.tables.results import results_table

FD = NAMES | {"frechet_name": "FD-squeezenet"}


def row(share, alpha, psnr, frechet, **values):
    empty = dict.fromkeys(fidelity_schema().names)
    numbers = {"psnr": psnr, "frechet": frechet, "images": 3}
    return {**empty, "signal": "map", "alpha": alpha, "low_share": share, **numbers, **values}


MAP = [
    row(0.0, -0.5, 24.0, 12.0),
    row(0.0, 0.0, 25.0, 10.0),
    row(0.0, 0.5, 26.0, 20.0),
    row(0.0, 1.0, 26.5, 60.0),
    row(0.0, 1.5, 26.0, 99.0),
    row(1.0, -0.5, 23.0, 9.0),
    row(1.0, 0.0, 24.0, 8.0),
    row(1.0, 0.5, 25.5, 25.0),
    row(1.0, 1.0, 26.5, 60.0),
    row(1.0, 1.5, 26.1, 99.0),
]


def test_a_level_is_found_between_two_alphas_and_never_beyond_the_input():
    axes = map_axes(MAP)
    curve = map_curves(MAP, axes)[0.0]
    assert at_distortion(curve, 25.5)[1:] == pytest.approx((0.25, 25.5, 200**0.5))
    assert at_distortion(curve, 26.0)[1:] == (0.5, 26.0, 20.0)  # 1.5 has it too
    assert at_distortion(curve, 26.5)[1:] == (1.0, 26.5, 60.0)
    assert at_distortion(curve, 24.0)[1:] == (-0.5, 24.0, 12.0)
    assert at_distortion(curve, 23.0) is None
    assert at_distortion(curve[:1], 24.0) is None


def test_the_unbeaten_points_are_those_than_which_none_is_better_in_both():
    axes = map_axes(MAP)
    points = [point for curve in map_curves(MAP, axes).values() for point in curve]
    found = [(point.low_share, point.alpha) for point in unbeaten(points, axes)]
    assert found == [(0.0, 1.0), (0.0, 0.5), (0.0, 0.0), (1.0, 0.0)]


def test_without_psnr_less_distance_to_the_input_is_more_faithful():
    rows = [r | {"psnr": None, "indrmse": 8 * (1 - r["alpha"])} for r in MAP]
    axes = map_axes(rows)
    assert (axes.across.column, axes.up.column) == ("indrmse", "frechet")
    points = [point for curve in map_curves(rows, axes).values() for point in curve]
    found = [(point.low_share, point.alpha) for point in unbeaten(points, axes)]
    assert found == [(0.0, 1.0), (0.0, 0.5), (1.0, 0.0)]
    assert [line[0].text for line in levels_table(rows, FD).lines][:2] == [
        "2.00 levels",
        "4.00 levels",
    ]


def test_the_table_compares_shares_where_psnr_is_equal():
    table = levels_table(MAP, FD)
    assert levels_title(MAP, FD) == "FD-squeezenet at equal PSNR"
    assert table.titles == ["", "low_share 0", "low_share 1"]
    lines = {line[0].text: line[1:] for line in table.lines}
    assert list(lines) == ["26.50 dB", "26.00 dB", "25.50 dB", "25.00 dB", "24.50 dB", "24.00 dB"]
    at_25 = lines["25.00 dB"]
    assert [(cell.text, cell.error, cell.best) for cell in at_25] == [
        ("10.00", "alpha 0.00", True),
        ("17.10", "alpha 0.33", False),
    ]
    assert [cell.text for cell in lines["24.00 dB"]] == ["12.00", "8.00"]


def test_a_share_that_does_not_reach_a_level_has_a_dash():
    rows = [r for r in MAP if r["low_share"] or r["alpha"] >= 0]
    *_, last = levels_table(rows, FD).lines
    assert [str(cell) for cell in last] == ["24.00 dB", "–", "8.00 alpha 0.00"]
    assert not any(cell.best for cell in last)


def test_the_gain_is_told_where_it_is_largest():
    assert gain_in_words(MAP, FD) == (
        "The gain over low_share 1 is largest at 26.00 dB: FD-squeezenet is 20.00 with low_share 0 "
        "(alpha 0.50) against 38.73 (alpha 0.75), 48 % less."
    )


def test_no_gain_is_told_where_there_is_none():
    worse = [r | {"frechet": r["frechet"] + 50 * (1 - r["low_share"])} for r in MAP]
    assert gain_in_words(worse, FD) == (
        "At no PSNR of the table another share has a lower FD-squeezenet than 1."
    )
    assert gain_in_words([r for r in MAP if r["low_share"]], FD) == ""


@pytest.mark.parametrize("rows", [[], [{"signal": "curve", "alpha": 0.0, "psnr": 1.0}], MAP[:1]])
def test_without_a_map_nothing_is_said(rows):
    assert levels_table(rows, FD).lines == []
    assert levels_title(rows, FD) == gain_in_words(rows, FD) == map_in_words(rows, FD) == ""


def test_all_points_are_in_a_table_and_none_in_that_of_results():
    assert [line[0].text for line in map_table(MAP, FD).lines][:2] == [
        "alpha -0.5, low_share 0",
        "alpha 0, low_share 0",
    ]
    assert results_table(MAP, FD).lines == []
    assert "low_share 1, alpha 0.5: 25.50 dB, 25.00" in map_in_words(MAP, FD)


def test_a_map_without_a_perceptual_distance_is_an_unmet_wish():
    config = Config.model_validate(
        {
            "name": "run",
            "workspace": "w",
            "corpora": {"restored": {"path": "x"}, "reference": {"path": "y"}},
            "evaluate": {"curve": {"low_shares": [0, 1]}},
        }
    )
    (sentence,) = [text for text in unmet_wishes(config, []) if "map" in text]
    assert "it needs evaluate.features, evaluate.lpips or evaluate.niqe" in sentence
    assert not [text for text in unmet_wishes(config, MAP) if "map" in text]
