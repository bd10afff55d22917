"""The results as a table, and what is missing from it."""

import json

import pytest

from tasks.config.sections import Enhance
from tasks.evaluate.summarise import NAMES, warnings_of
from tasks.io.artifacts.metrics import fidelity_schema
from tasks.report.missing_metrics import gaps
from tasks.report.tables.changes import changes_table, changes_text
from tasks.report.tables.names import footnote, results_legend, results_units
from tasks.report.tables.results import (
    curve_heading,
    curve_in_words,
    curve_table,
    has_more_columns,
    main_results,
    results_table,
    results_text,
    text_legend,
    theory_in_words,
)
from tasks.report.tables.rows import meanings_of_rows

FID = NAMES | {"frechet_name": "FID", "kernel_name": "KID", "lpips_name": "LPIPS-alex"}


def row(signal="enhanced", alpha=0.0, **values):
    empty = dict.fromkeys(fidelity_schema().names)
    return {**empty, "signal": signal, "alpha": alpha, "images": 3, **values}


def column(table, title):
    index = table.titles.index(title)
    return [line[index] for line in table.lines]


def test_the_best_enhanced_value_of_a_column_is_marked_and_no_control():
    text = results_table(
        [
            row(alpha=0.0, psnr=20.0, gelbrich=0.5),
            row(alpha=1.0, psnr=25.0, gelbrich=2.0),
            row("input", None, psnr=30.0, gelbrich=float("inf")),
        ],
        NAMES,
    ).markdown()
    assert text.splitlines() == [
        "|  | images | PSNR ↑ (dB) | Gelbrich ↓ |",
        "| --- | --- | --- | --- |",
        "| alpha 0 | 3 | 20.00 | **0.500** |",
        "| alpha 1 | 3 | **25.00** | 2.000 |",
        "| input | 3 | 30.00 | ∞ |",
    ]


def test_more_is_better_for_some_columns_and_less_for_others():
    rows = [
        row(alpha=0.0, frechet=10.0, kernel=0.01, precision=0.9, recall=0.1, inception_score=5.0),
        row(alpha=0.5, frechet=20.0, kernel=0.02, precision=0.8, recall=0.2, inception_score=4.0),
    ]
    table = results_table(rows, FID)
    best = {title: [cell.best for cell in column(table, title)] for title in table.titles[2:]}
    assert best == {
        "FID ↓": [True, False],
        "KID ↓": [True, False],
        "IS ↑": [True, False],
        "precision ↑": [True, False],
        "recall ↑": [False, True],
    }


def test_a_column_without_a_value_is_left_out():
    assert results_table([row(psnr=20.0)], NAMES).titles == ["", "images", "PSNR ↑ (dB)"]


def test_images_are_not_counted_as_none_where_they_have_nothing_to_be_compared_with():
    rows = [row(images=0, gelbrich=0.5), row("input", None, images=0, gelbrich=1.0)]
    assert results_table(rows, NAMES).titles == ["", "Gelbrich ↓"]
    assert results_text(rows, NAMES)[0] == ["", "Gelbrich ↓"]


def test_values_stand_with_their_errors_on_as_many_digits():
    rows = [row(psnr=20.0, psnr_error=0.314, kernel=0.01234, kernel_spread=0.001)]
    table = results_table(rows, FID)
    (psnr,) = column(table, "PSNR ↑ (dB)")
    (kernel,) = column(table, "KID ↓")
    assert (psnr.text, psnr.error) == ("20.00", "± 0.31")
    assert (kernel.text, kernel.error) == ("0.01234", "± 0.00100")
    assert "| **20.00** ± 0.31 |" in results_table(rows, FID).markdown()
    assert results_text(rows, FID)[1] == [["alpha 0", "3", "20.00", "0.01234"]]


def test_a_terminal_gets_the_main_columns_if_there_are_many():
    whole = dict.fromkeys(fidelity_schema().names, 0.5) | {"signal": "enhanced"}
    titles, _ = results_text([whole], FID)
    main = ["PSNR ↑ (dB)", "SSIM ↑", "LPIPS-alex ↓", "DISTS ↓"]
    main += ["NIQE ↓", "CLIP-IQA ↑", "FID ↓", "KID ↓", "Gelbrich ↓"]
    assert titles == ["", *main]


def test_the_distance_to_the_input_is_shown_without_a_psnr_or_among_all_metrics_and_never_best():
    rows = [row(indrmse=2.0, gelbrich=1.0), row("input", None, indrmse=0.0, gelbrich=2.0)]
    moved = ["IndRMSE (levels)", "Gelbrich ↓"]
    assert results_text(rows, NAMES)[0][2:] == main_results(rows, NAMES).titles[2:] == moved
    assert marks(rows, NAMES) == {"IndRMSE (levels)": [False, False], "Gelbrich ↓": [True, False]}
    assert "IndRMSE is how far" in text_legend(rows, NAMES, Enhance())
    rows[0]["psnr"] = 20.0
    plain = ["PSNR ↑ (dB)", "Gelbrich ↓"]
    assert results_text(rows, NAMES)[0][2:] == main_results(rows, NAMES).titles[2:] == plain
    assert results_table(rows, NAMES).titles[2:] == ["PSNR ↑ (dB)", *moved]
    assert has_more_columns(rows, NAMES)
    assert "IndRMSE" not in text_legend(rows, NAMES, Enhance())
    assert "IndRMSE is how far" in results_legend(rows, NAMES)


@pytest.mark.parametrize("mse", [0.0, 1e-6])
def test_controls_of_a_codec_that_loses_nothing_are_neither_shown_nor_explained(mse):
    rows = [
        row(psnr=20.0, psnr_change=1.0),
        row("input", None, psnr=19.0),
        row("codec", None, mse=mse, psnr=60.0, psnr_change=41.0),
        row("codec_input", None, psnr=19.0, psnr_change=0.0),
    ]
    controls = ["codec", "codec_input"] if mse else []
    results, changes = results_table(rows, NAMES), changes_table(rows, NAMES)
    assert [line[0].text for line in results.lines] == ["alpha 0", "input", *controls]
    assert [line[0].text for line in changes.lines] == ["alpha 0", *controls]
    assert list(meanings_of_rows(rows, NAMES)) == ["input", *controls]
    assert ("codec" in text_legend(rows, NAMES, Enhance())) == bool(controls)


def test_the_gap_to_a_perfect_posterior_sampler_is_told():
    rows = [row(psnr=20.0, frechet=9.0), row("input", None, psnr=22.0, frechet=12.0)]
    assert theory_in_words(rows).endswith("alpha 0 is 1.01 dB above it.")
    rows[1]["psnr"] = 24.0
    assert theory_in_words(rows).endswith("alpha 0 is 0.99 dB below it.")
    assert theory_in_words(rows[:1]) == theory_in_words([]) == ""


def test_points_of_the_curve_have_a_table_of_their_own():
    rows = [row(psnr=20.0), row("curve", -1.0, psnr=18.0), row("curve", 0.5, psnr=22.0)]
    assert len(results_table(rows, NAMES).lines) == 1
    points = curve_table(rows, NAMES)
    assert [cell.text for cell in column(points, "PSNR ↑ (dB)")] == ["18.00", "22.00"]
    assert not any(cell.best for line in points.lines for cell in line)


def test_the_curve_in_words_names_what_is_drawn():
    rows = [row(psnr=20.0, frechet=9.0), row("input", None, psnr=21.0, frechet=12.0)]
    rows.append(row("curve", 0.5, psnr=20.5, frechet=10.0))
    assert curve_in_words(rows, FID) == (
        "Perception-distortion curve, PSNR and FID. alpha 0: 20.00 dB, 9.00; input: 21.00 dB, "
        "12.00."
    )
    assert curve_in_words([], FID) == ""
    assert curve_heading(rows)[0] == "Perception and distortion"


def test_the_curve_without_a_reference_is_told_as_what_it_is():
    rows = [row(indrmse=8.0, frechet=9.0), row("input", None, indrmse=0.0, frechet=12.0)]
    assert curve_in_words(rows, FID) == (
        "Distance to the input (IndRMSE) and FID. alpha 0: 8.00 levels, 9.00; "
        "input: 0.00 levels, 12.00."
    )
    title, directions = curve_heading(rows)
    assert title == "Perception and distance to the input"
    assert "Without ground truth no distortion is known" in directions


def test_every_column_says_its_unit_and_its_better_side():
    units = results_units(FID)
    assert units["frechet"]["title"] == "FID"
    assert units["psnr"]["unit"] == "dB"
    assert {facts["better"] for facts in units.values()} == {"more", "less", ""}
    assert set(units) <= set(fidelity_schema().names)
    assert {facts["error"] for facts in units.values()} - {""} <= set(fidelity_schema().names)


def test_the_sign_of_the_limit_stands_behind_the_name():
    facts = FID | {"frechet_name": "FD-inception (altered 1234)"}
    titles = results_table([row(frechet_extrapolated=1.0)], facts).titles
    assert titles[-1] == "FD-inception∞* ↓"


def test_altered_weights_have_a_mark_in_titles_and_one_footnote():
    facts = FID | {
        "frechet_name": "FD-inception (altered 1234)",
        "lpips_name": "LPIPS-alex (altered 5678)",
    }
    rows = [row(psnr=20.0, lpips=0.1, frechet=9.0)]
    assert results_table(rows, facts).titles[2:] == [
        "PSNR ↑ (dB)",
        "LPIPS-alex* ↓",
        "FD-inception* ↓",
    ]
    assert footnote(rows, facts) == (
        "* computed with weights other than the published ones: FD-inception (altered 1234), "
        "LPIPS-alex (altered 5678)."
    )
    assert footnote([row(psnr=20.0)], facts) == footnote(rows, FID) == ""


def test_without_ground_truth_the_table_counts_what_was_enhanced_and_has_no_empty_rows():
    share = {"measured": 4, "fitted": 4, "left_out": 3}
    none = dict.fromkeys(share, 0)
    facts = FID | {"overlap": json.dumps({"scored": none, "featured": share})}
    rows = [
        row(images=0, gelbrich=1.0),
        row("input", None, images=0, gelbrich=2.0),
        row("codec", None, images=0),
        row("codec_input", None, images=0),
    ]
    table = results_table(rows, facts)
    assert [[cell.text for cell in line] for line in table.lines] == [
        ["alpha 0", "7", "1.000"],
        ["input", "7", "2.000"],
    ]
    assert results_text(rows, facts)[1] == [["alpha 0", "7", "1.000"], ["input", "7", "2.000"]]
    points = curve_table([row("curve", 0.5, images=0, gelbrich=1.5)], facts)
    assert [cell.text for cell in points.lines[0]] == ["alpha 0.5", "7", "1.500"]


def test_the_main_table_has_the_columns_that_there_is_room_for():
    whole = dict.fromkeys(fidelity_schema().names, 0.5) | {"signal": "enhanced"}
    table = main_results([whole | {"psnr": 20.0, "psnr_error": 0.314}], FID)
    assert str(table.lines[0][2]) == "20.00 ± 0.31"
    assert table.titles[1:] == [
        "images",
        "PSNR ↑ (dB)",
        "SSIM ↑",
        "LPIPS-alex ↓",
        "DISTS ↓",
        "NIQE ↓",
        "CLIP-IQA ↑",
        "FID ↓",
        "KID ↓",
        "Gelbrich ↓",
    ]


def test_warnings_are_read_from_the_summary():
    assert warnings_of({}) == []
    assert warnings_of({"warnings": json.dumps(["few images"])}) == ["few images"]


@pytest.fixture
def config(steps):
    def make(*, corpora=None, **evaluate):
        roles = corpora or {"restored": "/r", "natural": "/n", "reference": "/t"}
        return steps("/nowhere", roles, evaluate=evaluate).config

    return make


def test_a_whole_table_has_no_gaps(config, monkeypatch):
    monkeypatch.setattr("tasks.report.missing_metrics.lpips_identity", lambda *_: {"net": "alex"})
    whole = dict.fromkeys(fidelity_schema().names, 0.5) | {"signal": "enhanced"}
    assert gaps(config(lpips="alex", features="inception-v3-compat"), [whole]) == []


def test_weights_that_are_missing_are_a_gap_with_its_remedy(config, monkeypatch):
    monkeypatch.setattr("tasks.report.missing_metrics.lpips_identity", lambda *_: None)
    monkeypatch.setattr("tasks.report.missing_metrics.extractor_identity", lambda *_: None)
    found = gaps(config(lpips="vgg", features="inception-v3-compat"), [row()])
    assert len(found) == 2
    assert "(vgg) could not be had" in found[0]
    assert "(inception-v3-compat) could not be had" in found[1]
    assert all("`dotpipe weights pull" in gap for gap in found)


def test_metrics_that_few_or_small_images_do_not_have_are_gaps(config, monkeypatch):
    monkeypatch.setattr("tasks.report.missing_metrics.lpips_identity", lambda *_: {"net": "alex"})
    monkeypatch.setattr(
        "tasks.report.missing_metrics.extractor_identity", lambda *_: {"network": "squeezenet"}
    )
    wanted = config(lpips="alex", features="squeezenet")
    assert gaps(wanted, [row()]) == [
        "LPIPS needs images of 32 pixels a side or more.",
        "The metrics of features (Fréchet and kernel distance, Inception Score, precision, recall) "
        "are missing: too few images are large enough for squeezenet.",
    ]
    assert gaps(wanted, [row(lpips=0.1, frechet=1.0, precision=0.5)]) == [
        "There are too few images for the extrapolated Fréchet distance and the kernel distance.",
        "There is no Inception Score: squeezenet has no classes, or images are few.",
    ]


def test_what_was_not_asked_for_is_a_gap(config):
    found = gaps(config(lpips=None, features=None), [row(images=0)])
    assert [gap.partition(" (")[0] for gap in found] == [
        "Some signals have no image with metrics; the column `reason` says why.",
        "LPIPS was not asked for",
        "The metrics of features",
    ]


def marks(rows, facts):
    table = results_table(rows, facts)
    return {title: [cell.best for cell in column(table, title)] for title in table.titles[2:]}


@pytest.mark.parametrize(
    ("featured", "reference", "marked"), [(100, 100, True), (99, 100, False), (100, 99, False)]
)
def test_an_extrapolation_from_too_few_images_has_no_best_value(featured, reference, marked):
    facts = FID | {"dimension": "100", "reference_images": str(reference)}
    rows = [row(frechet_extrapolated=value, featured=featured) for value in (1.0, 2.0)]
    assert marks(rows, facts) == {"FID∞ ↓": [marked, False]}


def test_a_kernel_distance_is_best_where_nothing_draws_it_down():
    assert marks([row(kernel=1.0), row(kernel=2.0)], FID) == {"KID ↓": [True, False]}
    assert marks([row(kernel=-0.5), row(kernel=2.0)], FID) == {"KID ↓": [False, False]}
    rows = [row(kernel=1.0, kernel_corrected=3.0), row(kernel=2.0, kernel_corrected=2.5)]
    assert marks(rows, FID) == {
        "KID ↓": [False, False],
        "KID corrected ↓": [False, True],
    }


def test_lpips_that_was_measured_is_not_missing_when_its_weights_have_gone(config, monkeypatch):
    monkeypatch.setattr("tasks.report.missing_metrics.lpips_identity", lambda *_: None)
    assert not any("LPIPS" in g for g in gaps(config(lpips="alex"), [row(lpips=0.1)]))


def test_a_line_through_the_written_alphas_only_is_a_gap_with_its_option(config):
    rows = [row(psnr=20.0, frechet=9.0), row("curve", 0.5, psnr=20.5), row("curve", 1.0, psnr=21.0)]
    with_curve = config(lpips=None, features="squeezenet", curve={})
    note = "The line of the curve's figure joins the enhanced alphas, and knows no others."
    option = "evaluate.curve.networks: true measures all points of the curve."
    assert gaps(with_curve, rows)[-1] == f"{note} {option}"
    measured = [rows[0], *(point | {"frechet": 8.0} for point in rows[1:])]
    assert note not in " ".join(gaps(with_curve, measured))
    assert gaps(with_curve, [row(psnr=20.0, gelbrich=1.0)])[-1] == note


# Changes against the input

CHANGED = {
    "psnr_change": -1.692,
    "psnr_change_error": 0.051,
    "psnr_change_images": 200,
    "lpips_change": -0.03812,
    "lpips_change_error": 0.0021,
    "lpips_change_images": 200,
}


def test_changes_stand_with_sign_error_and_a_word():
    rows = [
        row(**CHANGED),
        row(alpha=1.0, psnr_change=0.0, psnr_change_error=0.0, psnr_change_images=200),
        row("input", None, psnr=27.0),
        row("curve", 0.0, **CHANGED),
    ]
    assert changes_table(rows, FID).markdown().splitlines() == [
        "|  | PSNR ↑ (dB) | LPIPS-alex ↓ |",
        "| --- | --- | --- |",
        "| alpha 0 | -1.69 ± 0.05 worse | -0.0381 ± 0.0021 better |",
        "| alpha 1 | +0.00 ± 0.00 the same | – |",
    ]
    assert changes_text(rows, FID) == (
        ["", "PSNR ↑ (dB)", "LPIPS-alex ↓"],
        [["alpha 0", "-1.69 ± 0.05", "-0.0381 ± 0.0021"], ["alpha 1", "+0.00 ± 0.00", "–"]],
    )


def test_without_metrics_of_the_input_there_is_no_table_of_changes():
    assert changes_table([row(psnr=20.0)], FID).lines == []


def test_an_error_is_shown_however_small_it_is():
    told = {"psnr_change": 0.0384, "psnr_change_images": 200}
    rows = [row(**told, psnr_change_error=0.0041)]
    assert str(changes_table(rows, FID).lines[0][1]) == "+0.038 ± 0.004 better"
    rows = [row(**told, psnr_change_error=1e-9)]
    assert str(changes_table(rows, FID).lines[0][1]) == "+0.0384 ± 0.0000 better"
    rows = [row(psnr_change=float("inf"), psnr_change_images=0)]
    assert str(changes_table(rows, FID).lines[0][1]) == "+∞"
