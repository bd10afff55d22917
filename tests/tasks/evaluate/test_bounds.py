"""Limits on metrics: what they keep, how they are asked for, and how they read."""

import math

import pytest

from tasks.evaluate.bounds import Bound, bound_of, metric_named
from tasks.io.artifacts.metric_registry import metrics_to_choose_by
from tasks.io.artifacts.more_metrics import NO_FACTS, OfPyiqa, facts_on_pyiqa
from tasks.io.errors import ConfigurationError

METRICS = metrics_to_choose_by()
FACTS = facts_on_pyiqa([OfPyiqa("musiq", True, False, "1"), OfPyiqa("ahiq", True, True, "1")])
FACTS |= {"more_networks": "dinov2-vit-s-14"}


def test_a_bound_keeps_its_limit_and_what_is_better():
    assert [Bound("psnr", 27).keeps(value) for value in (26.9, 27, 27.1, None)] == [
        False,
        True,
        True,
        False,
    ]
    assert [Bound("lpips", 0.2).keeps(value) for value in (0.19, 0.2, 0.21, None)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_a_number_keeps_no_bound(metric):
    assert not Bound(metric, 1).keeps(math.nan)
    assert Bound(metric, 1).keeps(math.inf) == (METRICS[metric].better == "more")


def test_a_bound_reads_as_what_it_asks_for():
    assert str(Bound("psnr", 27)) == "psnr ≥ 27"
    assert str(Bound("lpips", 0.25)) == "lpips ≤ 0.25"


def test_a_distance_of_features_goes_by_the_name_of_any_network():
    assert metric_named("FD") == metric_named("fid") == "fid"
    assert metric_named("kd") == "kid"
    assert metric_named("IndRMSE") == "change"


def test_a_name_that_is_no_metric_is_told_with_those_that_are():
    assert metric_named("fid") == "fid"
    with pytest.raises(
        ConfigurationError,
        match=r"best must be one of psnr, ssim, lpips, dists, change, niqe, .*, got 'frechet'",
    ):
        metric_named("frechet")


# Asked for by name


@pytest.mark.parametrize(
    ("side", "text", "said"),
    [
        ("min", "pyiqa_musiq=60", "pyiqa_musiq ≥ 60"),
        ("max", "FD-DINOv2-ViT-S-14=12.5", "fd-dinov2-vit-s-14 ≤ 12.5"),
        ("max", "fd=-1e-3", "fid ≤ -0.001"),
        ("max", "IndRMSE = 4", "change ≤ 4"),
        ("min", "psnr=inf", "psnr ≥ inf"),
    ],
)
def test_any_metric_of_the_table_can_be_bounded(side, text, said):
    assert str(bound_of(side, text, FACTS)) == said


@pytest.mark.parametrize(
    ("side", "text", "sentence"),
    [
        ("min", "psnr", "min must be a metric with a number, as lpips=0.15, got 'psnr'"),
        ("max", "lpips=", "max must be a metric with a number"),
        ("max", "lpips=nan", "max must be a metric with a number"),
        ("max", "=3", "the metric of max must be one of psnr, .*, got ''"),
        ("min", "pyiqa_brisque=3", "the metric of min must be one of .*, got 'pyiqa_brisque'"),
        ("min", "fid=3", "min must not bound fid, of which less is asked for, .*write --max fid=3"),
        (
            "max",
            "pyiqa_musiq=3",
            "max must not bound .* more is asked for.*; write --min pyiqa_musiq=3",
        ),
    ],
)
def test_what_is_no_bound_is_told(side, text, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        bound_of(side, text, FACTS)


def test_a_metric_of_another_table_cannot_be_bounded():
    with pytest.raises(ConfigurationError, match="must be one of psnr"):
        bound_of("min", "pyiqa_musiq=60", NO_FACTS)


@pytest.mark.parametrize(
    ("metric", "is_perception"),
    [
        *(("psnr", False), ("ssim", False), ("change", False), ("pyiqa_ahiq", False)),
        *(("lpips", True), ("fid", True), ("niqe", True), ("clip_iqa", True)),
        *(("pyiqa_musiq", True), ("fd-dinov2-vit-s-14", True)),
    ],
)
def test_what_asks_how_natural_images_are_is_known(metric, is_perception):
    assert Bound(metric, 1, FACTS).is_perception == is_perception
