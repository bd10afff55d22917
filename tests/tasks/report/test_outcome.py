"""The outcome of a run, in a sentence for each of the alphas that matter most."""

import json

import pytest

from tasks.evaluate.summarise import NAMES
from tasks.report.outcome import outcome, shrunk_in_words

FACTS = NAMES | {"frechet_name": "FID", "lpips_name": "LPIPS-alex (altered 1234)"}


def row(signal="enhanced", alpha=0.0, **values):
    return {"signal": signal, "alpha": alpha, "images": 200, **values}


CAME = row("input", None, psnr=27.0, lpips=0.2, frechet=50.0)


def test_the_outcome_leads_with_perception_and_says_what_it_costs():
    rows = [row(psnr=26.1, lpips=0.15, frechet=25.0), CAME]
    assert outcome(rows, FACTS) == [
        "alpha 0: FID −50 %, LPIPS-alex* −25 %, PSNR −0.9 dB against the input."
    ]


def test_the_full_transport_comes_first_and_half_of_it_next():
    alphas = (1.0, 0.75, 0.5, 0.25, 0.0)
    rows = [*(row(alpha=alpha, psnr=26 + alpha) for alpha in alphas), CAME]
    assert outcome(rows, FACTS) == [
        "alpha 0: PSNR −1.0 dB against the input.",
        "alpha 0.5: PSNR −0.5 dB against the input.",
    ]


def test_nothing_has_no_sign():
    rows = [row(psnr=26.98, lpips=0.2001), CAME]
    assert outcome(rows, FACTS) == ["alpha 0: LPIPS-alex* ±0 %, PSNR ±0.0 dB against the input."]


def test_a_change_is_of_the_same_images_and_not_of_means_over_others():
    known = {"psnr_change": -1.3, "psnr_change_error": 0.1, "psnr_change_images": 12}
    rows = [row(psnr=31.9, **known), row("input", None, psnr=28.6)]  # others came as they should be
    assert outcome(rows, FACTS) == ["alpha 0: PSNR −1.3 dB against the input."]


def test_what_may_be_chance_is_said_to_be():
    rows = [row(psnr=26.9, psnr_change=-0.1, psnr_change_error=0.2), CAME]
    assert outcome(rows, FACTS) == ["alpha 0: PSNR −0.1 dB (may be chance) against the input."]


def test_without_the_input_the_values_themselves_are_said():
    assert outcome([row(psnr=26.1, lpips=0.15)], FACTS) == [
        "alpha 0: LPIPS-alex* 0.15, PSNR 26.1 dB."
    ]


def test_without_a_reference_the_distance_to_the_input_is_the_cost():
    came = row("input", None, niqe=5.0, indrmse=0.0, frechet=50.0)
    assert outcome([row(niqe=4.0, indrmse=6.25, frechet=25.0), came], FACTS) == [
        "alpha 0: FID −50 %, NIQE −20 % against the input, 6.2 levels from it (IndRMSE)."
    ]
    assert outcome([row(indrmse=1.0)], FACTS) == ["alpha 0: 1 level from the input (IndRMSE)."]


@pytest.mark.parametrize("unknown", [None, float("inf"), float("nan")])
def test_a_change_that_is_no_number_is_left_out(unknown):
    rows = [row(psnr=unknown, gelbrich=1.0), CAME | {"gelbrich": 2.0}]
    assert outcome(rows, FACTS) == ["alpha 0: Gelbrich −50 % against the input."]


def test_where_nothing_was_measured_it_says_what_was_enhanced():
    none = {"measured": 0, "fitted": 0, "left_out": 0}
    share = {"measured": 37, "fitted": 0, "left_out": 0}
    facts = FACTS | {"overlap": json.dumps({"scored": none, "featured": share})}
    assert outcome([row()], facts) == ["Enhanced 37 images at 1 alpha; nothing was measured."]
    assert outcome([row()], FACTS) == ["Enhanced at 1 alpha; nothing was measured."]
    as_they_came = row() | {"alpha": 1.0}
    assert outcome([as_they_came], FACTS) == ["Enhanced at 1 alpha; nothing was measured."]


@pytest.mark.parametrize(
    ("provenance", "said"),
    [({}, []), ({"shrunk_matrix": 0.04}, []), ({"shrunk_matrix": 1.0}, ["100 % of what the map"])],
)
def test_a_map_that_was_taken_back_is_told_with_the_remedy(provenance, said):
    sentences = shrunk_in_words(provenance)
    assert [sentence[:21] for sentence in sentences] == said
    assert all("fit.shrink: 0" in sentence for sentence in sentences)
