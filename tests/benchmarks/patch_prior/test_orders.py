"""The orders of Mignon et al. 2023, Table I, on fourteen pairs of textures: seven minutes."""

from statistics import fmean

import pytest
from transports_study import METRICS, STUDIES, TRANSPORTS, rows


@pytest.fixture(scope="module")
def measured(test_data):
    """The metrics of every reference and transport, by the pair."""
    found = {}
    for row in rows(test_data, STUDIES["grey"], 0, 1):
        for metric in METRICS:
            key = metric, row["reference"], row["transport"]
            found.setdefault(key, {})[row["pair"]] = row[metric]
    return found


def changes(measured, metric, ours, theirs):
    first, second = measured[metric, *ours], measured[metric, *theirs]
    assert len(first) == len(second) >= 12
    return [first[pair] - second[pair] for pair in first]


@pytest.mark.parametrize("reference", ["clean", "spoilt"])
@pytest.mark.parametrize("other", [name for name in TRANSPORTS if name != "semi"])
def test_the_semi_marginal_is_best_in_psnr(measured, reference, other):
    found = changes(measured, "psnr", (reference, "semi"), (reference, other))
    assert fmean(found) > 0.5
    assert sum(change > 0 for change in found) > len(found) / 2


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["balanced", "wpp"])
def test_defects_of_the_reference_cost_most_where_all_of_it_must_be_used(measured, metric, name):
    sign = -1 if metric == "lpips" else 1
    balanced, semi = (
        sign * fmean(changes(measured, metric, ("spoilt", each), ("clean", each)))
        for each in (name, "semi")
    )
    assert balanced < min(semi, 0)


def test_textures_look_more_like_what_they_were_than_interpolated_ones(measured):
    """What PSNR does not show: made-up texture is at the wrong place."""
    found = changes(measured, "lpips", ("clean", "semi"), ("none", "bicubic"))
    assert fmean(found) < -0.1
