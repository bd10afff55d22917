"""Which codec is best: at one PSNR, with its error, or by features; and what is told otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.direct.codec_choice import (
    Spread,
    common_psnr,
    gains_of_levels,
    lpips_at,
    table,
    verdict,
)
from tasks.direct.codec_trials import Measured, Trial

JUDGES = SimpleNamespace(lpips_name="LPIPS-alex", frechet_name="FD-x")
WOBBLE = np.array([-0.02, 0.0, 0.02, 0.0])


def trial(name, psnr, lpips, *, frechet=None, noise=0.0, memory=1_000_000):
    """Four images; PSNR and LPIPS go in a line from alpha 0 to the input's 30 dB and 0.4."""
    at = {}
    for alpha in (0.0, 0.5, 1.0):
        mean = (1 - alpha) * lpips + alpha * 0.4
        values = mean + WOBBLE + noise * (1 - alpha) * np.array([1.0, -1.0, 1.0, -1.0])
        level = (1 - alpha) * psnr + alpha * 30.0
        at[alpha] = Measured([level] * 4, list(values), [float("inf")] * 4, frechet)
    return Trial(name, at, {}, 0.25, memory, 4_000_000, 8, 16)


def test_a_mean_comes_with_its_standard_error():
    spread = Spread.of([1.0, 2.0, 3.0, float("inf")])
    assert spread.told(3) == "2.000 ± 0.577"
    assert Spread.of([1.0]).told(1) == "1.0"
    assert Spread.of([float("nan")]) is None


def test_codecs_are_compared_at_the_psnr_that_all_reach():
    careful, bold = trial("careful", 29.0, 0.3), trial("bold", 25.0, 0.2)
    assert common_psnr([careful, bold]) == 29.0
    np.testing.assert_allclose(lpips_at(careful, 29.0), 0.3 + WOBBLE)
    np.testing.assert_allclose(lpips_at(bold, 29.0), 0.4 - 0.2 * 1 / 5 + WOBBLE)  # alpha 0.8
    said = verdict([bold, careful], JUDGES)
    assert said.startswith("Best for these images: careful. At 29.00 dB its LPIPS-alex is 0.3000, ")
    assert "0.0600 ± 0.0000 less than bold" in said
    assert "chance" not in said


def test_a_difference_within_two_errors_may_be_chance():
    said = verdict([trial("a", 28.0, 0.3), trial("b", 28.0, 0.301, noise=0.05)], JUDGES)
    assert "a. At 28.00 dB" in said
    assert said.endswith("that may be chance, more --images tell.")


def test_a_codec_that_gains_in_psnr_is_compared_at_that_of_the_input():
    assert common_psnr([trial("a", 31.0, 0.3), trial("b", 28.0, 0.3)]) == 30.0


def test_where_no_alpha_has_the_psnr_the_nearest_is_taken():
    np.testing.assert_allclose(lpips_at(trial("a", 28.0, 0.3), 27.0), 0.3 + WOBBLE)


def test_what_levels_gain_is_told_at_one_psnr_with_what_they_cost():
    plain, levelled = (
        trial("a", 28.0, 0.3, frechet=9.0),
        trial("a + levels", 28.0, 0.2, frechet=7.0),
    )
    levelled.plain, levelled.fit, levelled.seconds = "a", 12.0, 0.3
    assert gains_of_levels([plain, trial("b", 28.0, 0.3), levelled], JUDGES) == [
        "Levels of a: at 28.00 dB LPIPS-alex changes by -0.1000 ± 0.0000, image by image; "
        "at alpha 0 FD-x is 7.0 in place of 9.0; the fit takes 12.0 s in place of 0.0, "
        "an image 0.30 s in place of 0.25."
    ]
    for each in (plain, levelled):
        each.at[0.0].lpips, each.at[0.0].frechet = [], None
    (said,) = gains_of_levels([plain, levelled], JUDGES)
    assert said.startswith("Levels of a: the fit takes 12.0 s")


def without_truth(name, frechet):
    found = trial(name, 28.0, 0.3, frechet=frechet)
    for measured in found.at.values():
        measured.psnr, measured.lpips = [], []
        measured.change = [31.0, 33.0]
    return found


def test_without_ground_truth_features_say_which_is_best():
    said = verdict([without_truth("a", 9.0), without_truth("b", 7.0)], JUDGES)
    assert said == "Best for these images: b, whose FD-x at alpha 0 is the lowest."


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ([without_truth("a", None), without_truth("b", None)], "Which is best is not told"),
        ([without_truth("a", 3.0)], "One codec alone cannot be compared"),
    ],
)
def test_where_it_cannot_be_told_that_is_said(trials, said):
    assert verdict(trials, JUDGES).startswith(said)


def test_the_table_has_the_input_two_lines_of_each_codec_and_its_costs():
    titles, lines = table([trial("a", 28.0, 0.3, frechet=12.3), trial("b", 25.0, 0.2)], JUDGES)
    assert titles == [
        "codec",
        "alpha",
        "PSNR ↑ (dB)",
        "LPIPS-alex ↓",
        "FD-x ↓",
        "s/image",
        "MB",
        "latents",
    ]
    assert [line[:3] for line in lines] == [
        ["input", "", "30.00 ± 0.00"],
        ["a", "0", "28.00 ± 0.00"],
        ["a", "0.5", "29.00 ± 0.00"],
        ["b", "0", "25.00 ± 0.00"],
        ["b", "0.5", "27.50 ± 0.00"],
    ]
    assert lines[1][4:] == ["12.3", "0.25", "5", "16 × h/8 × w/8"]


def test_without_ground_truth_the_table_has_how_little_was_changed():
    titles, lines = table([without_truth("a", None), without_truth("b", None)], JUDGES)
    assert titles == ["codec", "alpha", "kept (dB)", "s/image", "MB", "latents"]
    assert lines[1][2] == "32.00 ± 1.00"
