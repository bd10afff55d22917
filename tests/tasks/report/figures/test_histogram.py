"""Histograms of the gains of single images."""

import numpy as np

from tasks.report.figures.histogram import gains_histogram
from tasks.report.pictures.gains import Gains, gains_in_words


def gains(*parts):
    found = Gains()
    for part in parts:
        found.add(part)
    return found


def test_gains_of_all_shards_are_one_histogram():
    one, cut = gains([1.0, 2.0, 3.0]), gains([1.0], [2.0, 3.0])
    assert gains_histogram({"PSNR": one}) == gains_histogram({"PSNR": cut})
    assert gains_histogram({"PSNR": one}).startswith(b"\x89PNG")


def test_infinite_gains_are_left_out():
    np.testing.assert_array_equal(gains([1.0, float("inf"), 2.0]).values, [1.0, 2.0])


def test_one_image_or_none_is_no_histogram():
    assert gains_histogram({}) is gains_histogram({"PSNR": gains([1.0])}) is None


def test_a_histogram_stands_in_words_too():
    words = gains_in_words({"PSNR ↑ (dB)": gains(list(np.linspace(-1, 0, 11)))})
    assert words == (
        "Changes of single images against the input. PSNR ↑ (dB): median -0.5, 80 % of images "
        "-0.9 to -0.1."
    )
