"""The kernel distance against torch-fidelity and its formula, and the bias of pairs."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from dot_kernels.metrics import (
    FeatureStatistics,
    gaussian_discrepancy,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
)


def squared_discrepancy(x, y):
    """Bińkowski et al. 2018, eq. 4: unbiased, under the cubic kernel, image by image."""
    x, y = x.double(), y.double()

    def kernel(a, b):
        return (a @ b.mT / x.shape[1] + 1) ** 3

    def mean_of_pairs(k):
        return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))

    within = mean_of_pairs(kernel(x, x)) + mean_of_pairs(kernel(y, y))
    return float(within - 2 * kernel(x, y).mean())


@pytest.mark.parametrize("seed", [2020, 7])
def test_kernel_distance_is_that_of_torch_fidelity(draw_features, seed):
    a, b = draw_features(130, 16), draw_features(90, 16, 0.4)
    expected = kid_features_to_metric(
        a.double(), b.double(), kid_subsets=100, kid_subset_size=40, rng_seed=seed, verbose=False
    )
    value, error = kernel_distance(a, b, subset_size=40, seed=seed)
    assert value == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-12)
    assert error == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-12)


def test_kernel_distance_of_whole_sets_is_the_formula(draw_features):
    a, b = draw_features(60, 16), draw_features(60, 16, 0.4)
    value, error = kernel_distance(a, b, subset_size=60)
    assert value == pytest.approx(squared_discrepancy(a, b))
    assert error == pytest.approx(0, abs=1e-12)  # every subset is the set, in another order


def test_kernel_distance_of_two_samples_of_one_distribution_is_zero_on_average(draw_features):
    values = [
        kernel_distance(draw_features(60, 8), draw_features(60, 8), subset_size=60).value
        for _ in range(20)
    ]
    values = torch.tensor(values)
    assert values.min() < 0 < values.max()
    assert values.mean().abs() < 3 * values.std() / math.sqrt(len(values))


def test_kernel_distance_grows_with_a_shift(draw_features):
    a = draw_features(100, 8)
    near, far = (kernel_distance(a, a + shift, subset_size=50).value for shift in (0.3, 0.6))
    assert 0 < near < far


@pytest.mark.parametrize(("n", "m"), [(39, 100), (100, 39), (0, 100)])
def test_kernel_distance_is_unknown_below_a_subset(draw_features, n, m):
    assert kernel_distance(draw_features(n), draw_features(m), subset_size=40) is None
    assert kernel_distance(draw_features(40), draw_features(40), subset_size=40) is not None


@pytest.mark.parametrize("size", [0, 1])
def test_kernel_distance_is_unknown_for_subsets_without_pairs(draw_features, size):
    assert kernel_distance(draw_features(5), draw_features(5), subset_size=size) is None


@pytest.mark.parametrize(
    ("images", "reference", "size"),
    [(0, 10, 0), (1, 1, 0), (5, 100, 2), (300, 200, 100), (2000, 1999, 999), (10**9, 2000, 1000)],
)
def test_a_subset_is_a_thousand_images_or_half_of_the_smaller_side(images, reference, size):
    assert kernel_subset_size(images, reference) == size


# Pairs


def pairs(rng, n, noise):
    """Features of images and of their own references, near each other, under one key each."""
    reference = torch.randn(n, 16, generator=rng)
    images = reference + noise * torch.randn(n, 16, generator=rng)
    draws = torch.arange(n)
    return tuple(FeatureStatistics.of(side, draws, capacity=n) for side in (images, reference))


def unbiased_of_independent(n, seeds):
    """Kernel distance of independent samples of the same two distributions."""
    found = []
    for seed in range(seeds):
        first = pairs(torch.Generator().manual_seed(seed), n, 0.1)
        second = pairs(torch.Generator().manual_seed(1000 + seed), n, 0.1)
        found.append(kernel_distance(first[0].features, second[1].features, subset_size=n // 2))
    return sum(estimate.value for estimate in found) / seeds


def test_the_pairing_bias_is_what_paired_samples_differ_by_from_independent_ones():
    n, seeds = 60, 24
    raw, corrected = [], []
    for seed in range(seeds):
        images, reference = pairs(torch.Generator().manual_seed(seed), n, 0.1)
        estimate = kernel_distance(images.features, reference.features, subset_size=n // 2)
        raw.append(estimate.value)
        corrected.append(estimate.value - pairing_bias(images, reference))
    truth = unbiased_of_independent(n, seeds)
    mean = sum(corrected) / seeds
    assert abs(mean - truth) < abs(sum(raw) / seeds - truth) / 5


def test_the_pairing_bias_is_the_sum_over_shared_keys(rng):
    images, reference = pairs(rng, 7, 0.5)
    x, y = images.features.double(), reference.features.double()
    kernel = (x @ y.mT / 16 + 1) ** 3
    off = (kernel.sum() - kernel.trace()) / 42
    assert pairing_bias(images, reference) == pytest.approx(2 * float(off - kernel.mean()))


def test_without_shared_keys_there_is_no_pairing_bias(rng):
    images, reference = pairs(rng, 7, 0.5)
    apart = FeatureStatistics.of(reference.features, reference.draws + 7, capacity=7)
    assert pairing_bias(images, apart) is None


# CMMD


def test_the_gaussian_discrepancy_is_that_of_its_definition(rng):
    x, y = torch.randn(30, 8, generator=rng), 0.4 + torch.randn(20, 8, generator=rng)
    a, b = (side.double().numpy() for side in (x, y))
    a, b = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b))

    def mean(p, q):
        return np.exp(-((p[:, None] - q[None]) ** 2).sum(axis=2) / (2 * 10**2)).mean()

    expected = 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert gaussian_discrepancy(x, y) == pytest.approx(expected, rel=1e-9)


def test_lengths_of_features_do_not_count_in_the_gaussian_discrepancy(rng):
    x, y = torch.rand(30, 8, generator=rng), torch.rand(20, 8, generator=rng)
    assert gaussian_discrepancy(3 * x, y) == pytest.approx(gaussian_discrepancy(x, y), rel=1e-5)


def test_equal_sets_have_no_gaussian_discrepancy_and_empty_ones_none_at_all(rng):
    x = torch.randn(1500, 8, generator=rng)  # more than are multiplied at once
    assert gaussian_discrepancy(x, x) == pytest.approx(0, abs=1e-10)
    assert gaussian_discrepancy(x, x[:0]) is None
