from functools import reduce
from operator import add

import pytest
import torch
from torch.testing import assert_close

from dot_kernels import GaussianMoments
from dot_kernels.metrics import FeatureStatistics
from dot_kernels.metrics.feature_statistics import GROUPS


def assert_same_groups(a, b):
    assert [group.count for group in a.groups] == [group.count for group in b.groups]
    for mine, other in zip(a.groups, b.groups, strict=True):
        assert_close(mine.mean, other.mean)
        assert_close(mine.scatter, other.scatter)


def sample_as_set(statistics):
    return {
        (draw, *row)
        for draw, row in zip(statistics.draws.tolist(), statistics.features.tolist(), strict=True)
    }


@pytest.mark.parametrize("capacity", [0, 1, 20, 119, 120, 121])
@pytest.mark.parametrize(
    "cuts",
    [(), (60,), (1, 2, 3), (0, 0, 5, 5, 120), tuple(range(1, 120)), (17, 18, 90)],
    ids=["whole", "halves", "tiny", "empty parts", "single images", "uneven"],
)
def test_statistics_do_not_depend_on_sharding(draw_features, draw_draws, in_parts, cuts, capacity):
    features, draws = draw_features(120, shift=100.0), draw_draws(120)
    whole = FeatureStatistics.of(features, draws, capacity=capacity)
    merged = reduce(add, in_parts(features, draws, cuts, capacity))
    assert_same_groups(merged, whole)
    assert merged.count == whole.count == 120
    assert torch.equal(merged.features, whole.features)  # one order of images, one sample
    assert torch.equal(merged.draws, whole.draws)
    assert merged.capacity == capacity


def test_addition_is_associative_and_commutative_but_for_the_order_of_rows(
    draw_features, draw_draws, in_parts
):
    features, draws = draw_features(90), draw_draws(90)
    a, b, c = in_parts(features, draws, (7, 40), 25)
    left, right = (a + b) + c, a + (b + c)
    assert_same_groups(left, right)
    assert torch.equal(left.features, right.features)
    assert torch.equal(left.draws, right.draws)
    turned = c + b + a
    assert_same_groups(left, turned)
    assert sample_as_set(left) == sample_as_set(turned)


def test_no_images_are_neutral(draw_features, statistics):
    some, none = statistics(draw_features(30), 12), statistics(draw_features(0), 12)
    for together in (some + none, none + some):
        assert_same_groups(together, some)
        assert torch.equal(together.features, some.features)
        assert torch.equal(together.draws, some.draws)
    assert (none + none).count == 0
    assert (none + none).features.shape == (0, 6)


@pytest.mark.parametrize(("capacity", "kept"), [(0, 0), (1, 1), (13, 13), (50, 50), (70, 50)])
def test_the_sample_holds_the_smallest_draws_in_order(draw_features, draw_draws, capacity, kept):
    features, draws = draw_features(50), draw_draws(50)
    sample = FeatureStatistics.of(features, draws, capacity=capacity)
    limit = draws.sort().values[:kept].max() if kept else -1
    assert torch.equal(sample.draws, draws[draws <= limit])
    assert torch.equal(sample.features, features[draws <= limit])
    assert len(sample.draws) == kept


def test_the_draws_largest_and_smallest_have_a_group_and_a_turn(draw_features):
    draws = torch.tensor([2**63 - 1, 0])
    ends = FeatureStatistics.of(draw_features(2), draws, capacity=1)
    assert ends.draws.tolist() == [0]
    assert [group.count for group in ends.groups] == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0]


def test_a_group_holds_the_images_with_its_remainder(draw_features):
    features, draws = draw_features(60), torch.arange(60)
    statistics = FeatureStatistics.of(features, draws, capacity=3)
    for remainder, group in enumerate(statistics.groups):
        expected = GaussianMoments.of(features[remainder::GROUPS])
        assert group.count == 6
        assert_close(group.mean, expected.mean)
        assert_close(group.scatter, expected.scatter)


def test_moments_are_those_of_all_images(draw_features, statistics):
    features = draw_features(77, shift=1e3)
    moments, expected = statistics(features, 5).moments, GaussianMoments.of(features)
    assert moments.count == expected.count
    assert_close(moments.mean, expected.mean)
    assert_close(moments.scatter, expected.scatter)


def test_features_that_are_not_finite_are_refused(draw_features, statistics):
    features = draw_features(5)
    features[3, 2] = torch.nan
    with pytest.raises(ValueError, match="samples must be finite"):
        statistics(features)


def test_features_of_another_network_are_refused(draw_features, statistics):
    with pytest.raises(ValueError, match="must have the same dimension, got 6 and 4"):
        statistics(draw_features(5)) + statistics(draw_features(5, 4))


def test_samples_of_different_capacities_are_refused(draw_features, statistics):
    with pytest.raises(ValueError, match="must have one capacity, got 3 and 4"):
        statistics(draw_features(5), 3) + statistics(draw_features(5), 4)
