"""The Fréchet distance against torch-fidelity, closed forms and known Gaussians."""

import math
from functools import reduce
from operator import add

import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from dot_kernels import GaussianMoments
from dot_kernels.metrics import (
    FeatureStatistics,
    extrapolated_frechet_distance,
    frechet_distance,
)


def by_torch_fidelity(a, b):
    sides = [fid_features_to_statistics(x.double()) for x in (a, b)]
    return fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"]


@pytest.mark.parametrize(("d", "shift"), [(1, 0.5), (2, 0.5), (16, 0.3), (64, 1.0)])
def test_distance_is_that_of_torch_fidelity(draw_features, statistics, d, shift):
    a, b = draw_features(300, d), 1.5 * draw_features(500, d, shift)
    if d == 1:  # np.cov gives torch-fidelity a number, not a matrix
        expected = float((a.double().mean() - b.double().mean()) ** 2)
        expected += float((a.double().std() - b.double().std()) ** 2)
    else:
        expected = by_torch_fidelity(a, b)
    value = frechet_distance(statistics(a), statistics(b)).value
    assert value == pytest.approx(expected, rel=1e-9)  # theirs: eigenvalues of a product


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 400), (400, 30)])
def test_distance_of_fewer_images_than_features_is_that_of_torch_fidelity(
    draw_features, statistics, n, m
):
    a, b = draw_features(n, 48), draw_features(m, 48, 0.5)
    value = frechet_distance(statistics(a), statistics(b)).value
    # Theirs takes roots of eigenvalues that should be zero and are 1e-16 of the largest:
    # each of some thirty empty directions may add 1e-8 of the largest variance.
    assert value == pytest.approx(by_torch_fidelity(a, b), rel=1e-6)


def test_distance_of_known_moments_is_the_closed_form(draw_draws):
    """Features on a grid: means 0 and 3, spreads 1 and 2 in each of two directions."""
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(5, 1)
    scale = 20 / 19  # unbiased covariances
    a, b = (FeatureStatistics.of(x, draw_draws(20), capacity=0) for x in (square, 2 * square + 3))
    assert frechet_distance(a, b).value == pytest.approx(2 * 3**2 + 2 * scale * (2 - 1) ** 2)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (30, 48)])
def test_distance_of_equal_sets_is_zero(draw_features, statistics, n, d):
    features = draw_features(n, d, shift=3.0)
    estimate = frechet_distance(statistics(features), statistics(features.flip(0)))
    size = float(features.double().var(dim=0).sum())
    assert estimate.value == pytest.approx(0, abs=1e-12 * size)  # of traces that cancel


def test_distance_is_symmetric_and_does_not_depend_on_sharding(draw_features, draw_draws, in_parts):
    features, draws = draw_features(200), draw_draws(200)
    other = FeatureStatistics.of(2 * draw_features(150), draw_draws(150), capacity=5)
    whole = FeatureStatistics.of(features, draws, capacity=5)
    merged = reduce(add, in_parts(features, draws, (1, 2, 90, 90), 5))
    expected = frechet_distance(whole, other)
    for found in (frechet_distance(other, whole), frechet_distance(merged, other)):
        assert (found.value, found.error) == pytest.approx((expected.value, expected.error))
    limits = [extrapolated_frechet_distance(side, other) for side in (merged, whole)]
    assert limits[0] == pytest.approx(limits[1])


def test_distance_of_a_flat_set_is_that_of_means_and_one_spread(draw_features, statistics):
    features = draw_features(40)
    flat = statistics(torch.full((30, 6), 2.0))
    expected = GaussianMoments.of(features)
    value = (expected.mean - 2).square().sum() + expected.covariance().trace()
    assert frechet_distance(statistics(features), flat).value == pytest.approx(float(value))
    assert (frechet_distance(flat, flat).value, frechet_distance(flat, flat).error) == (0, 0)
    assert extrapolated_frechet_distance(flat, flat) == 0


def pairs(rng, n, d, softened):
    """Photographs with heavy tails, and images of them that are softened more or less."""
    size = np.sqrt(1 + 0.3**2 * d)  # of a feature: tails are as heavy whatever d
    mixing = np.eye(d) + 0.3 * np.random.default_rng(d).standard_normal((d, d))
    y = np.exp(0.4 * rng.standard_normal((n, d)) @ mixing / size)
    noise = rng.standard_normal((n, d))
    images = [y * np.linspace(low, 1, d) + 0.1 * noise for low in softened]
    return [torch.from_numpy(side).float() for side in (*images, y)]


def of(features, draws, capacity=1 << 30):
    return FeatureStatistics.of(features, draws, capacity=capacity)


@pytest.mark.parametrize(("n", "d"), [(24, 16), (80, 16), (320, 16), (20, 30)])
@pytest.mark.parametrize("repeats", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_nearly_every_error_is_near_the_spread_over_independent_draws(draw_draws, n, d, repeats):
    """Of the distance of images to their references, and of the change to other images."""
    rng, told, found = np.random.default_rng(n), [], []
    for _ in range(repeats):
        after, before, reference = (
            of(side, draws)
            for draws in [draw_draws(n)]
            for side in pairs(rng, n, d, softened=(0.6, 0.3))
        )
        distance, old = (frechet_distance(side, reference) for side in (after, before))
        change = distance.change_from(old)
        found.append([distance.value, change.value])
        told.append([distance.error, change.error])
    told, true = np.array(told), np.std(found, axis=0, ddof=1)
    ratios = np.sqrt((told**2).mean(axis=0)) / true
    assert np.all((ratios > 1 / 1.4) & (ratios < 1.4))
    if n == 320:  # the error of one set, not only that of many together
        near = (told / true > 1 / 1.4) & (told / true < 1.4)
        assert near.mean(axis=0).min() > 0.9  # from ten groups only 0.8 could be


def test_error_of_a_sample_is_that_of_all_images(draw_features, draw_draws):
    """A side may have far more images than its sample, and the other not."""
    draws = draw_draws(6000)
    reference = draw_features(6000)
    images, apart = reference[:400] * 1.3 + 0.1 * draw_features(400), draw_draws(400)
    for keys, side in ((draws[:400], images), (apart, images), (draws, reference * 1.3)):
        whole = frechet_distance(of(side, keys), of(reference, draws))
        for capacity in (400, 2000):
            drawn = frechet_distance(of(side, keys, capacity), of(reference, draws, capacity))
            assert drawn.error == pytest.approx(whole.error, rel=0.15)


def test_change_of_equal_images_is_none_at_all(draw_features, draw_draws):
    draws, features = draw_draws(300), draw_features(300)
    one, reference = of(1.5 * features, draws), of(features, draws)
    distance = frechet_distance(one, reference)
    assert distance.change_from(frechet_distance(one, reference)) == (0, 0)
    assert distance.error > 0


def test_error_takes_images_of_one_key_for_pairs(draw_features, draw_draws):
    """An image resembles its own reference, and what both share does not move the distance."""
    features, draws = draw_features(400), draw_draws(400)
    images = features + 0.1 * draw_features(400)
    apart, own = (
        frechet_distance(of(images, keys), of(features, draws)) for keys in (draw_draws(400), draws)
    )
    assert own.value == pytest.approx(apart.value)
    assert own.error < apart.error / 2


def test_extrapolated_distance_is_closer_to_the_truth_at_five_images_a_dimension(
    draw_features, statistics
):
    d, seeds = 16, 12
    mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=torch.Generator().manual_seed(d))
    covariance = (mixing.mT @ mixing).double().numpy()
    cross = scipy.linalg.sqrtm(covariance @ (1.3**2 * covariance)).real.trace()
    truth = (1 + 1.3**2) * covariance.trace() - 2 * cross + 0.39**2 * d
    away = []
    for _ in range(seeds):
        sides = (
            statistics(draw_features(5 * d, d), 0),
            statistics(1.3 * draw_features(5 * d, d, 0.3), 0),
        )
        found = frechet_distance(*sides).value, extrapolated_frechet_distance(*sides)
        away.append([number - truth for number in found])
    plain, extrapolated = zip(*away, strict=True)
    assert sum(plain) > 0
    assert abs(sum(extrapolated)) < sum(plain) / 4
    assert sum(map(abs, extrapolated)) < sum(map(abs, plain))


def test_extrapolated_distance_is_the_intercept_of_the_line_by_numpy(draw_features, statistics):
    a, b = statistics(1e3 * draw_features(300)), statistics(1.2e3 * draw_features(300))

    def distance(groups):
        sides = [reduce(add, [side.groups[group] for group in groups]) for side in (a, b)]
        return scipy_distance(*[(m.mean.numpy(), m.covariance().numpy()) for m in sides])

    everything = range(10)
    tenths = [[g for g in everything if g != out] for out in everything]
    halves = [everything[:5], everything[5:], everything[::2], everything[1::2]]
    x = [1, *[10 / 9] * 10, *[2] * 4]
    y = [distance(groups) for groups in (everything, *tenths, *halves)]
    weights = [1, *[1 / 10] * 10, *[1 / 4] * 4]
    expected = np.polynomial.Polynomial.fit(x, y, 1, w=np.sqrt(weights)).convert().coef[0]
    assert extrapolated_frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def scipy_distance(one, other):
    """The Fréchet distance from means and covariances, as the paper has it."""
    cross = scipy.linalg.sqrtm(one[1] @ other[1]).real.trace()
    return ((one[0] - other[0]) ** 2).sum() + (one[1] + other[1]).trace() - 2 * cross


@pytest.mark.parametrize("side", ["first", "second", "both"])
def test_the_limit_is_unknown_where_groups_are_too_empty(draw_features, statistics, side):
    """Half of the groups hold a single image: the distance stands, and its error."""
    draws = torch.tensor([0, 0, 0, 0, 5])  # groups 5 to 9 are one half
    few = FeatureStatistics.of(draw_features(5), draws, capacity=9)
    many = statistics(draw_features(200))
    pair = {"first": (few, many), "second": (many, few), "both": (few, few)}[side]
    estimate = frechet_distance(*pair)
    assert math.isfinite(estimate.value)
    assert math.isfinite(estimate.error)
    assert extrapolated_frechet_distance(*pair) is None


@pytest.mark.parametrize("capacity", [0, 1])
def test_the_error_is_unknown_where_no_two_images_are_known(draw_features, draw_draws, capacity):
    draws = draw_draws(6)
    few, all_of_them = (of(draw_features(6), draws, kept) for kept in (capacity, 6))
    assert frechet_distance(few, all_of_them).error is None
    assert frechet_distance(all_of_them, few).error is None


def test_the_limit_is_known_as_soon_as_every_half_has_two_images(draw_features):
    draws = torch.tensor([0, 1, 5, 6, 2, 7])
    few = FeatureStatistics.of(draw_features(6), draws, capacity=9)
    assert frechet_distance(few, few).error == pytest.approx(0, abs=1e-12)
    assert extrapolated_frechet_distance(few, few) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_a_distance_of_fewer_than_two_images_is_refused(draw_features, statistics, count):
    few, many = statistics(draw_features(count)), statistics(draw_features(50))
    for pair in ((few, many), (many, few)):
        with pytest.raises(ValueError, match=f"at least 2 samples, got {count}"):
            frechet_distance(*pair)


def test_features_of_different_networks_have_no_distance(draw_features, statistics):
    with pytest.raises(ValueError, match="must have the same dimension, got 6 and 4"):
        frechet_distance(statistics(draw_features(5)), statistics(draw_features(5, 4)))
