"""The Inception Score against torch-fidelity and closed forms."""

from functools import reduce
from operator import add

import pytest
import torch
from torch.testing import assert_close
from torch_fidelity.metric_isc import isc_features_to_metric

from dot_kernels.metrics import ClassSums, inception_score
from dot_kernels.metrics.feature_statistics import GROUPS


def by_torch_fidelity_whole(logits):
    answer = isc_features_to_metric(logits, splits=1, shuffle=False)
    return answer["inception_score_mean"]


def test_score_of_images_that_could_be_anything_is_one():
    sums = ClassSums.of(torch.zeros(40, 7), torch.arange(40))
    assert inception_score(sums) == pytest.approx((1, 0))


@pytest.mark.parametrize("classes", [2, 7, 1008])
def test_score_of_sure_and_even_classes_is_their_number(classes):
    """Every group sees every class once; a logit of 200 leaves the others nothing."""
    numbers = torch.arange(classes * GROUPS)
    logits = 200 * torch.eye(classes)[numbers // GROUPS]
    sums = ClassSums.of(logits, numbers)
    assert inception_score(sums) == pytest.approx((classes, 0), abs=1e-9 * classes)


def test_score_of_equal_groups_is_that_of_torch_fidelity_without_splits(rng):
    logits = 3 * torch.randn(23, 12, generator=rng)
    draws = torch.arange(GROUPS).repeat_interleave(len(logits))
    sums = ClassSums.of(logits.repeat(GROUPS, 1), draws)
    score = inception_score(sums)
    assert score.value == pytest.approx(by_torch_fidelity_whole(logits))
    assert score.error == pytest.approx(0, abs=1e-12)


def test_score_of_ten_groups_is_that_of_torch_fidelity_with_ten_splits(rng):
    logits = 3 * torch.randn(250, 12, generator=rng)
    draws = torch.arange(GROUPS).repeat_interleave(25)  # its splits are consecutive
    expected = isc_features_to_metric(logits, splits=GROUPS, shuffle=False)
    score = inception_score(ClassSums.of(logits, draws))
    assert score.value == pytest.approx(expected["inception_score_mean"])
    assert score.error == pytest.approx(expected["inception_score_std"])
    assert score.error > 0


def test_groups_of_different_sizes_are_scored_each_for_itself(rng, draw_draws):
    logits, draws = 3 * torch.randn(300, 9, generator=rng), draw_draws(300)
    scores = [by_torch_fidelity_whole(logits[draws % GROUPS == g]) for g in range(GROUPS)]
    scores = torch.tensor(scores).double()
    expected = float(scores.mean()), float(scores.std(correction=0))
    assert inception_score(ClassSums.of(logits, draws)) == pytest.approx(expected)


@pytest.mark.parametrize("cuts", [(100,), (0, 1, 2, 2, 199), tuple(range(1, 200))])
def test_class_sums_do_not_depend_on_sharding(rng, draw_draws, cuts):
    logits, draws = 3 * torch.randn(200, 9, generator=rng), draw_draws(200)
    parts = zip(logits.tensor_split(cuts), draws.tensor_split(cuts), strict=True)
    merged = reduce(add, [ClassSums.of(*part) for part in parts])
    whole = ClassSums.of(logits, draws)
    assert torch.equal(merged.counts, whole.counts)
    assert_close(merged.probabilities, whole.probabilities)
    assert_close(merged.negative_entropies, whole.negative_entropies)
    assert inception_score(merged) == pytest.approx(inception_score(whole))


def test_class_sums_of_all_groups_together_give_the_score_of_all_images(rng, draw_draws):
    """What a score of the whole set would take is there: counts, Σ p and Σ p log p."""
    logits = 3 * torch.randn(300, 9, generator=rng)
    sums = ClassSums.of(logits, draw_draws(300))
    marginal = sums.probabilities.sum(dim=0) / sums.counts.sum()
    mean = sums.negative_entropies.sum() / sums.counts.sum()
    score = float((mean - (marginal * marginal.log()).sum()).exp())
    assert score == pytest.approx(by_torch_fidelity_whole(logits))


def test_score_is_unknown_where_a_group_is_empty(rng):
    logits = torch.randn(90, 5, generator=rng)
    draws = torch.arange(90)
    assert inception_score(ClassSums.of(logits[draws % 10 != 4], draws[draws % 10 != 4])) is None
    assert inception_score(ClassSums.of(logits[:0], draws[:0])) is None
    assert inception_score(ClassSums.of(logits[:10], draws[:10])) is not None
