"""What may be said of a difference to the input."""

import math

import numpy as np
import pytest
import scipy.stats

from tasks.evaluate.changes import Difference, changes_at
from tasks.io.artifacts.metric_registry import metrics_to_choose_by

METRICS = metrics_to_choose_by()


@pytest.mark.parametrize("images", [2, 3, 10, 200])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_a_difference_is_clear_where_scipys_t_test_says_so(images, shift):
    differences = shift + np.random.default_rng(images).normal(size=images)
    error = differences.std() / math.sqrt(images)  # the bootstrap's
    p = scipy.stats.ttest_1samp(differences, 0).pvalue
    found = Difference(differences.mean(), error, images).verdict(METRICS["psnr"])
    better = "better" if differences.mean() > 0 else "worse"
    assert found == (better if p < 0.05 else "")


def test_more_is_better_or_less_is():
    rise, fall = Difference(0.1, 0.01, 50), Difference(-0.1, 0.01, 50)
    assert (rise.verdict(METRICS["psnr"]), fall.verdict(METRICS["psnr"])) == ("better", "worse")
    assert (rise.verdict(METRICS["lpips"]), fall.verdict(METRICS["lpips"])) == ("worse", "better")


def test_nothing_is_said_of_one_image_and_no_change_is_said_to_be_none():
    assert Difference(3.0, None, 1).verdict(METRICS["psnr"]) == ""
    assert Difference(0.0, 0.0, 9).verdict(METRICS["psnr"]) == "the same"
    assert Difference(0.1, 0.0, 9).verdict(METRICS["psnr"]) == "better"


def test_the_differences_of_written_images_go_before_those_of_the_curve():
    curve = {"signal": "curve", "alpha": 0.5, "psnr_change": 1.0, "ssim_change": 0.1}
    written = {"signal": "enhanced", "alpha": 0.5, "psnr_change": 2.0}
    other = {"signal": "enhanced", "alpha": 0.25, "psnr_change": 3.0}
    found = changes_at(0.5, [written, curve, other], METRICS)
    assert {name: change.value for name, change in found.items()} == {"psnr": 2.0, "ssim": 0.1}


def test_what_a_difference_tells_depends_on_the_images_that_have_it():
    """Of 200 images only 2 are large enough for LPIPS: two differences say next to nothing."""
    row = {"images": 200, "lpips_change": -0.1, "lpips_change_error": 0.04}
    found = {
        images: Difference.of(row | {"lpips_change_images": images}, METRICS["lpips"])
        for images in (2, 200)
    }
    verdicts = {images: each.verdict(METRICS["lpips"]) for images, each in found.items()}
    assert verdicts == {2: "", 200: "better"}
