"""The choice of an alpha, from hand-made rows."""

import math

import pytest

from tasks.config.sections import Enhance
from tasks.evaluate.bounds import Bound
from tasks.io.artifacts.metric_registry import metrics_to_choose_by
from tasks.io.errors import CorpusError, StepMissing
from tasks.report.choose import choose_alpha
from tasks.report.outcome import describe, read_results

METRICS = metrics_to_choose_by()
COLUMNS = [metric.column for metric in METRICS.values()]


def row(signal, alpha, **numbers):
    return {"signal": signal, "alpha": alpha, **dict.fromkeys(COLUMNS), **numbers}


CURVE = [
    # psnr rises towards the input, distances fall towards the transport
    row("curve", alpha / 10, psnr=25 + alpha / 2, ssim=0.7 + alpha / 50, lpips=0.1 + alpha / 50)
    for alpha in range(-10, 21)
]
WRITTEN = [
    row("enhanced", 0.0, psnr=25.1, ssim=0.7, lpips=0.1, frechet=10.0, kernel=0.01, gelbrich=0.0),
    row("enhanced", 0.5, psnr=27.6, ssim=0.8, lpips=0.2, frechet=14.0, kernel=0.02, gelbrich=1.0),
    row("input", None, psnr=30.0, ssim=0.9, lpips=0.3, frechet=20.0, kernel=0.03, gelbrich=4.0),
    row("codec", None, psnr=33.0, lpips=0.01, frechet=1.0),
]
ROWS = WRITTEN + CURVE

NAMES = {
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS-alex",
    "fid": "FID",
    "kid": "KID",
    "gelbrich": "Gelbrich",
}


# The choice


def test_the_best_in_perception_among_those_with_enough_signal_to_noise():
    choice = choose_alpha(CURVE, [Bound("psnr", 27)])
    assert (choice.alpha, choice.best) == (0.4, "lpips")
    assert choice.numbers["psnr"] == 27


def test_the_best_in_distortion_among_those_with_little_enough_distance():
    choice = choose_alpha(ROWS, [Bound("lpips", 0.15)])
    assert (choice.alpha, choice.best) == (0.2, "psnr")


def test_all_bounds_are_kept():
    choice = choose_alpha(ROWS, [Bound("psnr", 26), Bound("lpips", 0.16)])
    assert choice.alpha == 0.3
    assert choice.numbers["lpips"] <= 0.16
    assert choice.numbers["psnr"] >= 26


@pytest.mark.parametrize(
    ("best", "alpha"),
    [("psnr", 1.0), ("ssim", 1.0), ("lpips", 0.0), ("fid", 0.0), ("kid", 0.0), ("gelbrich", 0.0)],
)
def test_without_bounds_the_best_is_taken(best, alpha):
    choice = choose_alpha(ROWS, [], best)
    assert (choice.alpha, choice.best) == (alpha, best)


BLIND = [
    {"signal": "curve", "alpha": a / 4, "psnr": None, "indrmse": 8.0 - 2 * a} for a in range(5)
]
"""Distances to the input along the curve of a run without a reference."""


def test_a_bound_on_the_distance_to_the_input_gives_the_nearest_to_nature_within_it():
    choice = choose_alpha(BLIND, [Bound("change", 5)])
    assert (choice.alpha, choice.best, choice.numbers) == (0.5, None, {"change": 4.0})
    written = [row("enhanced", a, indrmse=8 - 8 * a, frechet=9 + a) for a in (0.25, 0.5)]
    assert choose_alpha(written, [Bound("change", 7)]).best == "fid"


def test_the_distance_to_the_input_is_told_without_comparing_it_with_that_of_the_input():
    rows = [*BLIND, {"signal": "input", "alpha": None, "psnr": None, "indrmse": 0.0}]
    lines = describe(choose_alpha(rows, [Bound("change", 5)]), {"change": "IndRMSE"})
    assert lines[1] == "  IndRMSE: 4 levels from the input"


def test_without_a_reference_a_bound_on_perception_leaves_images_as_near_as_it_can():
    rows = [{**each, "niqe": 4 + each["alpha"]} for each in BLIND]
    choice = choose_alpha(rows, [Bound("niqe", 4.6)])
    assert (choice.alpha, choice.best) == (0.5, "change")


def test_a_bound_on_perception_whose_more_is_better_leaves_images_as_near_as_it_can():
    rows = [row("curve", a / 4, psnr=25 + a, clip_iqa=0.9 - a / 10) for a in range(5)]
    choice = choose_alpha(rows, [Bound("clip_iqa", 0.65)])
    assert (choice.alpha, choice.best) == (0.5, "psnr")


def test_a_bound_may_be_of_a_metric_that_only_this_table_has():
    facts = {"more_networks": "dinov2-vit-s-14"}
    rows = [row("enhanced", a, psnr=20 + a, frechet_dinov2_vit_s_14=100 + a) for a in (0.0, 0.5)]
    bounds = [Bound("fd-dinov2-vit-s-14", 100.2, facts)]
    assert choose_alpha(rows, bounds, facts=facts).alpha == 0
    with pytest.raises(CorpusError, match=r"fd-dinov2-vit-s-14 ≤ 9: .* gets to 100 at alpha 0"):
        choose_alpha(rows, [bounds[0]._replace(limit=9)], facts=facts)


def test_what_to_be_best_in_can_be_chosen_within_bounds():
    assert choose_alpha(ROWS, [Bound("psnr", 27)], "ssim").alpha == 1
    assert choose_alpha(ROWS, [Bound("psnr", 27)], "fid").alpha == 0.5


@pytest.mark.parametrize(
    ("columns", "best"),
    [
        (("frechet", "lpips", "gelbrich"), "fid"),
        (("lpips", "gelbrich"), "lpips"),
        (("gelbrich",), "gelbrich"),
    ],
)
def test_perception_is_the_best_metric_that_is_there(columns, best):
    rows = [row("enhanced", 0.5, psnr=28.0, **dict.fromkeys(columns, 1.0))]
    assert choose_alpha(rows, [Bound("psnr", 27)]).best == best


def test_alphas_outside_the_theorys_range_are_taken_only_if_asked_for():
    assert choose_alpha(CURVE, [], "lpips").alpha == 0
    assert choose_alpha(CURVE, [], "lpips", beyond=True).alpha == -1
    assert choose_alpha(CURVE, [], "psnr").alpha == 1
    assert choose_alpha(CURVE, [], "psnr", beyond=True).alpha == 2


def test_the_numbers_of_a_written_alpha_go_before_the_curves():
    choice = choose_alpha(ROWS, [Bound("psnr", 27.55)], "lpips")
    assert (choice.alpha, choice.numbers["psnr"]) == (0.5, 27.6)
    assert choice.is_written
    # what only the curve has is kept
    rows = [row("enhanced", 0.5, psnr=27.6), row("curve", 0.5, psnr=27.5, lpips=0.2)]
    assert choose_alpha(rows, [], "lpips").numbers == {"psnr": 27.6, "lpips": 0.2}


def test_the_order_of_rows_does_not_matter():
    assert choose_alpha(ROWS[::-1], [Bound("psnr", 26)]) == choose_alpha(ROWS, [Bound("psnr", 26)])


def test_an_alpha_of_the_curve_alone_is_not_written():
    assert not choose_alpha(CURVE, [], "psnr").is_written


def test_of_equals_the_smallest_alpha_is_taken():
    rows = [row("curve", alpha, psnr=30.0) for alpha in (0.7, 0.2, 0.5)]
    assert choose_alpha(rows, [], "psnr").alpha == 0.2


def test_controls_are_never_chosen():
    assert choose_alpha(WRITTEN, [], "psnr").alpha == 0.5
    assert choose_alpha(WRITTEN, [], "fid").alpha == 0.0


def test_the_choice_is_set_against_the_input():
    assert choose_alpha(ROWS, [], "psnr").input == {
        "psnr": 30.0,
        "ssim": 0.9,
        "lpips": 0.3,
        "fid": 20.0,
        "kid": 0.03,
        "gelbrich": 4.0,
    }
    assert choose_alpha(CURVE, [], "psnr").input == {}


def test_an_infinite_ratio_is_the_best_and_keeps_every_bound():
    rows = [row("curve", 0.0, psnr=30.0), row("curve", 1.0, psnr=math.inf)]
    assert choose_alpha(rows, [Bound("psnr", 99)], "psnr").alpha == 1


# Refusals


@pytest.mark.parametrize(
    ("bounds", "best"), [([], "fid"), ([Bound("fid", 3)], None), ([Bound("fid", 3)], "psnr")]
)
def test_a_metric_that_no_alpha_has_is_told_with_what_it_needs(bounds, best):
    with pytest.raises(CorpusError, match=r"fid must be in the fidelity table.*evaluate\.features"):
        choose_alpha(CURVE, bounds, best)
    with pytest.raises(CorpusError, match=r"niqe must be in the fidelity table.*evaluate\.niqe"):
        choose_alpha(CURVE, [], "niqe")


def test_bounds_that_nothing_keeps_are_told_with_what_can_be_had():
    with pytest.raises(CorpusError) as told:
        choose_alpha(ROWS, [Bound("psnr", 31), Bound("lpips", 0.05)])
    assert str(told.value) == (
        "no alpha of the curve has psnr ≥ 31 and lpips ≤ 0.05: psnr gets to 30 at alpha 1, lpips "
        "gets to 0.1 at alpha 0; loosen a bound"
    )


def test_bounds_that_nothing_keeps_together_are_told():
    with pytest.raises(CorpusError, match=r"psnr ≥ 29 and lpips ≤ 0.11: psnr gets to 30"):
        choose_alpha(ROWS, [Bound("psnr", 29), Bound("lpips", 0.11)])


def test_where_perception_is_not_known_for_all_the_nearest_to_the_transport_is_taken():
    curve = [row("curve", alpha / 10, psnr=25 + alpha / 2) for alpha in range(11)]
    choice = choose_alpha(WRITTEN + curve, [Bound("psnr", 26.6)])
    assert (choice.alpha, choice.best) == (0.4, None)
    assert describe(choice, NAMES)[0].startswith("alpha 0.4: the nearest to the full transport")


def test_a_metric_that_those_within_the_bounds_lack_is_told_with_the_way_to_have_it():
    with pytest.raises(CorpusError, match=r"a known kid has psnr ≥ 28, but alpha 0.6"):
        choose_alpha(WRITTEN[:2] + CURVE, [Bound("psnr", 28)], "kid")


def test_alpha_1_has_the_numbers_of_the_input_and_is_not_to_be_written():
    choice = choose_alpha(ROWS, [Bound("psnr", 29.9)], "fid")
    assert (choice.alpha, choice.numbers["fid"]) == (1.0, 20.0)
    assert describe(choice, NAMES)[-1] == (
        "this is the image as it came; nothing has to be written"
    )


def test_what_can_be_had_of_a_distance_below_zero_keeps_its_sign():
    with pytest.raises(CorpusError, match=r"kid gets to -0.001 at alpha 0"):
        choose_alpha([row("curve", 0.0, kernel=-0.001)], [Bound("kid", -0.01)], "kid")


def test_a_table_without_any_alpha_is_told():
    for rows in ([], WRITTEN[2:]):
        with pytest.raises(CorpusError, match="psnr must be in the fidelity table"):
            choose_alpha(rows, [Bound("psnr", 20)])


# In words


def test_a_written_choice_says_what_it_costs_and_gains():
    choice = choose_alpha(ROWS, [], "fid")
    assert describe(choice, NAMES) == [
        "alpha 0: the best FID within the bounds",
        "  PSNR: 25.1 dB (-4.9 dB against the input)",
        "  SSIM: 0.7 (-0.2 against the input)",
        "  LPIPS-alex: 0.1 (-0.2 against the input)",
        "  FID: 10 (-10 against the input)",
        "  KID: 0.01 (-0.02 against the input)",
        "  Gelbrich: 0 (-4 against the input)",
    ]


def test_costs_and_gains_are_those_of_single_images_where_they_are_known():
    known = {"psnr_change": -4.9123, "psnr_change_error": 0.08, "lpips_change": -0.2001}
    known |= {"lpips_change_error": 0.004, "ssim_change": 0.001, "ssim_change_error": 0.002}
    known |= {f"{name}_change_images": 24 for name in ("psnr", "ssim", "lpips")}
    rows = [WRITTEN[0] | known, *WRITTEN[1:], *CURVE]
    assert describe(choose_alpha(rows, [], "fid"), NAMES)[1:5] == [
        "  PSNR: 25.1 dB (-4.91 ± 0.08 dB against the input: worse)",
        "  SSIM: 0.7 (+0.0010 ± 0.0020 against the input: may be chance)",
        "  LPIPS-alex: 0.1 (-0.2001 ± 0.0040 against the input: better)",
        "  FID: 10 (-10 against the input)",
    ]


def test_a_choice_that_is_not_written_says_how_to_have_it():
    lines = describe(choose_alpha(ROWS, [Bound("psnr", 26)], "lpips"), NAMES)
    assert lines[0] == "alpha 0.2: the best LPIPS-alex within the bounds"
    assert lines[-1].startswith("it is not written yet: add 0.2 to enhance.alphas and run again")


def test_a_number_equal_to_the_inputs_is_called_the_same():
    rows = [row("enhanced", 1.0, psnr=30.0), row("input", None, psnr=30.0)]
    assert describe(choose_alpha(rows, [], "psnr"), NAMES)[1] == (
        "  PSNR: 30 dB (+0 dB against the input: the same)"
    )


def test_rounding_on_the_curve_does_not_make_the_input_better_than_itself():
    noise = {"ssim_change": 5e-10, "ssim_change_error": 1e-10, "ssim_change_images": 24}
    rows = [row("curve", 1.0, psnr=30.0, ssim=0.9 + 5e-10, **noise), WRITTEN[2]]
    lines = describe(choose_alpha(rows, [], "ssim"), NAMES)
    assert lines[2] == "  SSIM: 0.9 (+0 against the input: the same)"


def test_nothing_is_subtracted_from_infinity():
    rows = [row("enhanced", 1.0, psnr=math.inf), row("input", None, psnr=math.inf)]
    assert describe(choose_alpha(rows, [], "psnr"), NAMES)[1] == "  PSNR: inf dB"


def test_without_an_input_the_numbers_stand_alone():
    assert describe(choose_alpha(WRITTEN[:1], [], "ssim"), NAMES)[2] == "  SSIM: 0.7"


# The table of a run


def test_the_curve_of_a_run_is_its_fidelity_table(finished):
    rows = read_results(finished.config).rows
    assert {row["signal"] for row in rows} == {"enhanced", "input", "codec", "codec_input"}
    choice = choose_alpha(rows, [Bound("psnr", 0)])
    assert (choice.alpha, choice.best) == (0, "gelbrich")
    assert set(choice.numbers) == {"psnr", "ssim", "change", "gelbrich"}


def test_a_table_that_is_not_there_is_told_with_the_command(steps, photographs, tmp_path):
    run = steps(tmp_path, photographs)
    with pytest.raises(StepMissing, match="run `dotpipe shard CONFIG` first"):
        read_results(run.config)
    run.shard()
    with pytest.raises(StepMissing, match="run `dotpipe fit CONFIG` first"):
        read_results(run.config)
    run.fit()
    run.enhance()
    with pytest.raises(StepMissing, match="run `dotpipe evaluate CONFIG` first"):
        read_results(run.config)


def test_a_table_that_is_out_of_date_is_told_with_the_command(finished, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    other = steps(
        finished.config.workspace, corpora, enhance={"alphas": [0, 0.5]}, evaluate={"lpips": None}
    )
    results = read_results(other.config)
    assert results.rows == read_results(finished.config).rows
    assert results.notes[0].startswith(
        "Measured on the images of the fit: the operator was fitted on 8"
    )
    assert results.notes[1:] == [
        "the fidelity table is not that of the configuration now; `dotpipe evaluate` renews it"
    ]


def test_metrics_are_called_what_the_report_calls_them(finished):
    assert read_results(finished.config).titles == {
        "psnr": "PSNR",
        "ssim": "SSIM",
        "lpips": "LPIPS",
        "dists": "DISTS",
        "change": "IndRMSE",
        "niqe": "NIQE",
        "clip_iqa": "CLIP-IQA",
        "fid": "FD",  # of no network
        "kid": "KD",
        "gelbrich": "Gelbrich",
    }


# Two dials


def pair(share, alpha, **numbers):
    return row("map", alpha, low_share=share, **numbers)


MAP = [
    pair(share, alpha, psnr=psnr, frechet=frechet)
    for share, psnrs, distances in (
        (0.0, (26.5, 28.0, 30.0), (9.0, 12.0, 20.0)),
        (1.0, (25.1, 27.6, 30.0), (10.0, 14.0, 20.0)),
    )
    for alpha, psnr, frechet in zip((0.0, 0.5, 1.0), psnrs, distances, strict=True)
]


def test_a_pair_of_dials_is_named_where_it_is_better_within_the_same_bounds():
    choice = choose_alpha(WRITTEN + MAP, [Bound("psnr", 26)], "fid")
    assert (choice.alpha, choice.low_share, choice.numbers["fid"]) == (0.5, None, 14.0)
    assert (choice.pair.alpha, choice.pair.low_share) == (0.0, 0.0)
    assert (choice.pair.numbers["psnr"], choice.pair.numbers["fid"]) == (26.5, 9.0)
    lines = describe(choice, NAMES)
    start = lines.index("of all pairs of dials of the map:")
    assert lines[start + 1] == "alpha 0 with low_share 0: the best FID within the bounds"
    assert lines[-1] == (
        "it is not written yet: set enhance.low_share: 0, add 0 to enhance.alphas and run again"
    )


def test_of_a_pair_only_what_the_run_lacks_is_asked_for():
    pair = choose_alpha(ROWS, [], "fid")._replace(low_share=0.0, is_written=False)
    missing = [line for line in describe(pair, NAMES, now=Enhance()) if "not written" in line]
    assert missing == []
    (line,) = describe(pair, NAMES, now=Enhance(alphas=[0.5]))[-1:]
    assert line == "it is not written yet: add 0 to enhance.alphas and run again"
    (line,) = describe(pair, NAMES, now=Enhance(low_share=1))[-1:]
    assert line == "it is not written yet: set enhance.low_share: 0 and run again"


def test_a_pair_is_named_as_well_where_no_perception_is_known_of_alpha_alone():
    rows = [row("curve", alpha, psnr=25 + 5 * alpha) for alpha in (0.0, 0.5, 1.0)]
    choice = choose_alpha(rows + MAP, [Bound("psnr", 26)])
    assert (choice.alpha, choice.best) == (0.5, None)
    assert (choice.pair.alpha, choice.pair.low_share, choice.pair.best) == (0.0, 0.0, "fid")


def test_no_pair_is_named_that_is_worse_than_alpha_alone_in_what_the_pair_is_best_in():
    rows = [row("curve", 0.25, psnr=26.3), row("enhanced", 0.5, psnr=27.6, frechet=8.0)]
    choice = choose_alpha(rows + MAP, [Bound("psnr", 27)])
    assert (choice.alpha, choice.pair) == (0.5, None)
    choice = choose_alpha([row("curve", 0.6, psnr=27.9), *rows, *MAP], [Bound("psnr", 27)])
    assert (choice.alpha, choice.best, choice.pair) == (0.5, None, None)


@pytest.mark.parametrize(
    "pairs", [[], MAP[3:], [pair(0.0, 0.0, psnr=20.0, frechet=1.0)]], ids=["none", "one", "worse"]
)
def test_no_pair_is_named_that_is_not_better_or_does_not_keep_the_bounds(pairs):
    choice = choose_alpha(WRITTEN + pairs, [Bound("psnr", 26)], "fid")
    assert (choice.alpha, choice.pair) == (0.5, None)
