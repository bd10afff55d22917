import numpy as np
import pytest
import torch

from dot_kernels import GaussianMoments, gelbrich_distance, solve_transport
from dot_kernels.moments import merge
from dot_kernels.shrinkage import Shrinkage, shrink, split_half_shrinkage


def draw_images(rng, count, deviation=1.0, between=0.0, mean=0.0, patches=50, dimension=3):
    """Moments of images whose contrast and colour differ by ``between``, relatively."""
    contrast = 1 + between * torch.randn(count, 1, 1, generator=rng).double()
    colour = between * torch.randn(count, 1, dimension, generator=rng).double()
    own = torch.randn(count, patches, dimension, generator=rng).double()
    return [GaussianMoments.of(x) for x in deviation * (contrast * own + colour) + mean]


@pytest.fixture
def sides(rng):
    """Moments of source and target, of all images."""
    return merge(draw_images(rng, 9)), merge(draw_images(rng, 9, deviation=3, mean=2.0))


@pytest.mark.parametrize("amount", [0.25, 1.0])
def test_a_shrunk_map_takes_patches_that_much_less_far(rng, sides, amount):
    whole = solve_transport(*sides)
    shrunk = shrink(whole, *sides, Shrinkage.of(amount))
    patches = torch.randn(20, 3, generator=rng).double()
    full, less = (patches @ each.matrix.mT + each.offset() - patches for each in (whole, shrunk))
    torch.testing.assert_close(less, (1 - amount) * full)


def test_matrix_and_mean_are_shrunk_apart(sides):
    whole = solve_transport(*sides)
    of_mean = shrink(whole, *sides, Shrinkage(0.0, 1.0))
    torch.testing.assert_close(of_mean.matrix, whole.matrix)
    torch.testing.assert_close(of_mean.target_mean, whole.source_mean)
    of_matrix = shrink(whole, *sides, Shrinkage(1.0, 0.0))
    torch.testing.assert_close(of_matrix.matrix, torch.eye(3).double())
    torch.testing.assert_close(of_matrix.target_mean, whole.target_mean)


def test_diagnostics_are_those_of_the_shrunk_map(sides):
    whole = solve_transport(*sides, ridge=0.0)
    shrunk = shrink(whole, *sides, Shrinkage(0.5, 0.25))
    mean, covariance = shrunk.push_forward(sides[0].mean, sides[0].covariance())
    count = sides[0].count
    mapped = GaussianMoments(count, mean, covariance * (count - 1))
    told = shrunk.diagnostics
    assert told.gelbrich_after == pytest.approx(gelbrich_distance(mapped, sides[1]))
    assert told.gelbrich_after > whole.diagnostics.gelbrich_after
    assert told.variance_reached_median < whole.diagnostics.variance_reached_median
    assert told.gelbrich_before == whole.diagnostics.gelbrich_before


def test_noise_is_shrunk_as_the_way_of_each_patch_is(rng):
    flat = GaussianMoments.of(torch.randn(99, 1, generator=rng).double().expand(-1, 3))
    target = merge(draw_images(rng, 9))
    whole = solve_transport(flat, target, ridge=0.0)
    shrunk = shrink(whole, flat, target, Shrinkage.of(0.4))
    torch.testing.assert_close(shrunk.noise_covariance, 0.36 * whole.noise_covariance)


def test_a_map_that_is_not_shrunk_is_the_map_itself(sides):
    whole = solve_transport(*sides)
    assert shrink(whole, *sides, Shrinkage.of(0.0)) is whole


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
def test_amounts_beyond_the_identity_are_refused(sides, amount):
    with pytest.raises(ValueError, match=r"shrinkage must be in \[0, 1\]"):
        shrink(solve_transport(*sides), *sides, Shrinkage(0.0, amount))


def test_of_one_feature_the_amount_is_that_of_the_literal_formula(rng):
    """Two images a side can be split in one way, crosswise in two."""
    source, target = draw_images(rng, 2, dimension=1), draw_images(rng, 2, 3.0, 0.3, dimension=1)
    found = split_half_shrinkage(source, target, ridge=0.0)
    spreads, means = (
        [[float(f(x)) for x in side] for side in (source, target)]
        for f in (lambda x: x.covariance().sqrt(), lambda x: x.mean)
    )
    gains = np.divide.outer(spreads[1], spreads[0]) - 1
    shifts = np.subtract.outer(means[1], means[0])
    for part, ways in (("matrix", gains), ("mean", shifts)):
        common = ways[0, 0] * ways[1, 1] + ways[0, 1] * ways[1, 0]
        own = (ways**2).sum() / 2
        expected = np.clip(1 - 2 * max(common, 0) / (common + own), 0, 1)
        assert getattr(found, part) == pytest.approx(expected)


def test_maps_that_halves_agree_on_are_left_as_they_are(rng):
    source = draw_images(rng, 40, patches=500)
    target = draw_images(rng, 40, 3.0, mean=2.0, patches=500)
    found = split_half_shrinkage(source, target, ridge=1e-5)
    assert 0 <= found.matrix < 0.01
    assert 0 <= found.mean < 0.01


def test_where_the_sides_differ_by_chance_alone_most_of_the_map_is_taken_back(rng):
    found = [
        split_half_shrinkage(*(draw_images(rng, 6, between=0.3) for _ in range(2)), ridge=1e-5)
        for _ in range(20)
    ]
    assert np.mean([each.matrix for each in found]) > 0.6
    assert np.mean([each.mean for each in found]) > 0.6


def test_shrunk_maps_of_few_images_are_nearer_to_the_map_of_many(rng):
    """The mean square over source patches of what a map does wrong, over 12 experiments."""

    def draw(images):
        source = draw_images(rng, images, between=0.4)
        return source, draw_images(rng, images, 1.3, 0.4, mean=0.3)

    def fit(source, target):
        sides = merge(source), merge(target)
        whole = solve_transport(*sides)
        return whole, shrink(whole, *sides, split_half_shrinkage(source, target, ridge=1e-5))

    truth = solve_transport(*map(merge, draw(1000)))

    def wrong(operator):
        shift = operator.offset() - truth.offset()
        return float((operator.matrix - truth.matrix).square().sum() + shift.square().sum())

    errors = np.array([[wrong(each) for each in fit(*draw(5))] for _ in range(12)])
    gain = errors[:, 0] - errors[:, 1]
    assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))
    assert errors[:, 1].mean() < 0.8 * errors[:, 0].mean()


def test_the_amount_is_the_same_each_time_and_draws_nothing_elsewhere(rng):
    source, target = draw_images(rng, 7, between=0.3), draw_images(rng, 8, 2.0, 0.3)
    state = torch.get_rng_state()
    found = [split_half_shrinkage(source, target, ridge=1e-5) for _ in range(2)]
    assert found[0] == found[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_of_single_images_or_too_few_patches_no_amount_is_known(rng):
    one, many = draw_images(rng, 1), draw_images(rng, 5)
    assert split_half_shrinkage(one, many, ridge=1e-5) is None
    assert split_half_shrinkage(many, one, ridge=1e-5) is None
    small = draw_images(rng, 2, patches=3)
    assert split_half_shrinkage(small, many, ridge=1e-5) is None


def test_sides_that_are_equal_are_left_as_they_are():
    equal = [GaussianMoments.of(torch.eye(4).double()[:, :3])] * 4
    assert split_half_shrinkage(equal, equal, ridge=0.0) == Shrinkage.of(0.0)
