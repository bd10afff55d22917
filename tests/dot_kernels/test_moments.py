from itertools import permutations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge


def draw_samples(count, dimension, rng, dtype=torch.float64):
    mixing = torch.randn(dimension, dimension, generator=rng, dtype=dtype)
    return torch.randn(count, dimension, generator=rng, dtype=dtype) @ mixing


def assert_same_moments(actual, expected):
    assert actual.count == expected.count
    assert_close(actual.mean, expected.mean)
    assert_close(actual.scatter, expected.scatter)


def test_moments_of_three_points_are_count_mean_and_centred_scatter():
    moments = GaussianMoments.of(torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))
    assert (moments.count, moments.dimension) == (3, 2)
    assert moments.mean.tolist() == [1, 1]
    assert moments.scatter.tolist() == [[2, 0], [0, 6]]
    assert moments.covariance().tolist() == [[1, 0], [0, 3]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_moments_are_those_of_numpy_in_float64_far_from_zero_too(rng, dtype):
    samples = draw_samples(300, 5, rng).add(1e4).to(dtype)
    moments = GaussianMoments.of(samples)
    assert_close(moments.mean.numpy(), samples.double().numpy().mean(axis=0))
    assert_close(moments.covariance().numpy(), np.cov(samples.double().numpy(), rowvar=False))


def test_raw_sums_are_the_plain_sums(rng):
    samples = draw_samples(100, 4, rng) + 3
    total, outer = GaussianMoments.of(samples).raw_sums()
    assert_close(total, samples.sum(dim=0))
    assert_close(outer, samples.mT @ samples)


@pytest.mark.parametrize("cuts", [(1,), (10, 11), (3, 100, 499), (0, 250, 250, 500)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_moments_do_not_depend_on_sharding(rng, cuts, offset):
    samples = draw_samples(500, 4, rng) + offset
    parts = [GaussianMoments.of(part) for part in samples.tensor_split(cuts)]
    assert_same_moments(merge(parts), GaussianMoments.of(samples))


def test_moments_do_not_depend_on_the_order_of_shards(rng):
    samples = draw_samples(60, 3, rng) + 1e4
    parts = [GaussianMoments.of(part) for part in samples.tensor_split((1, 7, 30))]
    for order in permutations(parts):
        assert_same_moments(merge(order), GaussianMoments.of(samples))


def test_moments_do_not_depend_on_how_shards_are_grouped(rng):
    a, b, c = (GaussianMoments.of(draw_samples(n, 3, rng) + n) for n in (5, 20, 50))
    assert_same_moments((a + b) + c, a + (b + c))


def test_no_samples_are_the_neutral_element(rng):
    nothing = GaussianMoments.zero(3)
    moments = GaussianMoments.of(draw_samples(20, 3, rng))
    assert_same_moments(nothing + moments, moments)
    assert_same_moments(moments + nothing, moments)
    assert_same_moments(moments - nothing, moments)
    assert_same_moments(nothing + nothing, nothing)
    assert_same_moments(GaussianMoments.of(torch.empty(0, 3)), nothing)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_shard_can_be_added_and_taken_back(rng, offset):
    kept, returned = (GaussianMoments.of(draw_samples(n, 4, rng) + offset) for n in (80, 30))
    assert_same_moments((kept + returned) - returned, kept)
    assert_same_moments((kept + returned) - kept, returned)


def test_taking_everything_back_leaves_no_samples(rng):
    moments = GaussianMoments.of(draw_samples(20, 3, rng))
    assert_same_moments(moments - moments, GaussianMoments.zero(3))


def test_adding_leaves_both_shards_as_they_were(rng):
    samples = draw_samples(40, 3, rng)
    first, second = GaussianMoments.of(samples[:15]), GaussianMoments.of(samples[15:])
    _ = first + second, second - first
    assert_same_moments(first, GaussianMoments.of(samples[:15]))
    assert_same_moments(second, GaussianMoments.of(samples[15:]))


@pytest.mark.parametrize("count", [0, 1])
def test_covariance_of_fewer_than_two_samples_is_refused(count):
    moments = GaussianMoments.of(torch.ones(count, 2))
    with pytest.raises(ValueError, match=rf"at least 2 samples, got {count}"):
        moments.covariance()


def test_moments_of_different_dimensions_are_neither_added_nor_taken_back():
    two, three = GaussianMoments.zero(2), GaussianMoments.zero(3)
    with pytest.raises(ValueError, match="same dimension, got 2 and 3"):
        two + three
    with pytest.raises(ValueError, match="same dimension, got 3 and 2"):
        three - two


def test_more_samples_than_there_are_cannot_be_taken_back():
    few, many = GaussianMoments.of(torch.eye(2)), GaussianMoments.of(torch.eye(3)[:, :2])
    with pytest.raises(ValueError, match="got 3 samples out of 2"):
        few - many


@pytest.mark.parametrize("width", [1e2, 1e9])
def test_what_rounding_would_decide_must_be_measured_again(rng, width):
    narrow, wide = (GaussianMoments.of(draw_samples(50, 4, rng) * by) for by in (1, width))
    if width < 1e3:
        rest = (narrow + wide) - wide
        assert torch.linalg.eigvalsh(rest.scatter).min() > 0
        assert_close(rest.scatter, narrow.scatter, rtol=1e-9, atol=1e-9)
    else:
        with pytest.raises(ValueError, match=r"leave at least 1e-5 .* measure the rest again"):
            (narrow + wide) - wide


def test_one_sample_that_is_left_does_not_vary():
    samples = torch.tensor([[1.0, 5.0], [2.0, 1e6], [4.0, -1e6]])
    rest = GaussianMoments.of(samples) - GaussianMoments.of(samples[1:])
    assert_close(rest.mean, samples[0].double())
    assert torch.equal(rest.scatter, torch.zeros(2, 2).double())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_samples_that_are_not_finite_are_refused(value):
    samples = torch.eye(3)
    samples[1, 2] = value
    with pytest.raises(ValueError, match="samples must be finite"):
        GaussianMoments.of(samples)


def test_no_moments_cannot_be_merged():
    with pytest.raises(ValueError, match="parts must hold at least one set of moments, got none"):
        merge([])
