"""Fidelity metrics against torch-fidelity, closed forms and known Gaussians."""

import math
from functools import reduce
from operator import add

import pytest
import scipy.linalg
import scipy.spatial
import torch
from torch.testing import assert_close
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from dot_kernels import GaussianMoments
from dot_kernels.metrics import (
    ClassSums,
    FeatureStatistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
    precision_recall,
)
from dot_kernels.metrics.fidelity import GROUPS

D = 6
EVERYTHING = 1 << 30  # a capacity that no sample reaches


@pytest.fixture
def draw_features(rng):
    """Features of so many images: a random mixture of Gaussians, away from zero."""

    def draw(n, d=D, shift=0.0):
        mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=torch.Generator().manual_seed(d))
        return torch.randn(n, d, generator=rng) @ mixing + shift

    return draw


@pytest.fixture
def draw_draws(rng):
    """Numbers as keys give them: 63 random bits."""
    return lambda n: torch.randint(0, 2**63 - 1, (n,), generator=rng)


@pytest.fixture
def statistics(draw_draws):
    """Statistics of features with random draws."""
    return lambda features, capacity=EVERYTHING: FeatureStatistics.of(
        features, draw_draws(len(features)), capacity=capacity
    )


def in_parts(features, draws, cuts, capacity):
    """Statistics of each part, as shards would have them."""
    return [
        FeatureStatistics.of(f, d, capacity=capacity)
        for f, d in zip(features.tensor_split(cuts), draws.tensor_split(cuts), strict=True)
    ]


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


# Statistics


@pytest.mark.parametrize("capacity", [0, 1, 20, 119, 120, 121])
@pytest.mark.parametrize(
    "cuts",
    [(), (60,), (1, 2, 3), (0, 0, 5, 5, 120), tuple(range(1, 120)), (17, 18, 90)],
    ids=["whole", "halves", "tiny", "empty parts", "single images", "uneven"],
)
def test_statistics_do_not_depend_on_sharding(draw_features, draw_draws, cuts, capacity):
    features, draws = draw_features(120, shift=100.0), draw_draws(120)
    whole = FeatureStatistics.of(features, draws, capacity=capacity)
    merged = reduce(add, in_parts(features, draws, cuts, capacity))
    assert_same_groups(merged, whole)
    assert merged.count == whole.count == 120
    assert torch.equal(merged.features, whole.features)  # one order of images, one sample
    assert torch.equal(merged.draws, whole.draws)
    assert merged.capacity == capacity


def test_addition_is_associative_and_commutative_but_for_the_order_of_rows(
    draw_features, draw_draws
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
    assert (none + none).features.shape == (0, D)


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
    with pytest.raises(ValueError, match="must have the same dimension, got 6 and 4"):
        frechet_distance(statistics(draw_features(5)), statistics(draw_features(5, 4)))


# Fréchet distance


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


def test_distance_is_symmetric_and_does_not_depend_on_sharding(draw_features, draw_draws):
    features, draws = draw_features(200), draw_draws(200)
    other = FeatureStatistics.of(2 * draw_features(150), draw_draws(150), capacity=5)
    whole = FeatureStatistics.of(features, draws, capacity=5)
    merged = reduce(add, in_parts(features, draws, (1, 2, 90, 90), 5))
    expected = frechet_distance(whole, other)
    assert frechet_distance(other, whole) == pytest.approx(expected)
    assert frechet_distance(merged, other) == pytest.approx(expected)


def test_distance_of_a_flat_set_is_that_of_means_and_one_spread(draw_features, statistics):
    features = draw_features(40)
    flat = statistics(torch.full((30, D), 2.0))
    expected = GaussianMoments.of(features)
    value = (expected.mean - 2).square().sum() + expected.covariance().trace()
    assert frechet_distance(statistics(features), flat).value == pytest.approx(float(value))
    assert frechet_distance(flat, flat) == (0, 0, 0)


def test_error_is_the_spread_over_independent_draws(draw_features, statistics):
    estimates = [
        frechet_distance(
            statistics(draw_features(300, 5), 0), statistics(1.4 * draw_features(400, 5, 0.4), 0)
        )
        for _ in range(24)
    ]
    spread = torch.tensor([estimate.value for estimate in estimates]).std()
    errors = torch.tensor([estimate.error for estimate in estimates])
    assert 0.5 * spread < errors.square().mean().sqrt() < 2 * spread


def test_extrapolated_distance_is_closer_to_the_truth_at_five_images_a_dimension(
    draw_features, statistics
):
    d, seeds = 16, 12
    mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=torch.Generator().manual_seed(d))
    covariance = (mixing.mT @ mixing).double().numpy()
    cross = scipy.linalg.sqrtm(covariance @ (1.3**2 * covariance)).real.trace()
    truth = (1 + 1.3**2) * covariance.trace() - 2 * cross + 0.39**2 * d
    estimates = [
        frechet_distance(
            statistics(draw_features(5 * d, d), 0),
            statistics(1.3 * draw_features(5 * d, d, 0.3), 0),
        )
        for _ in range(seeds)
    ]
    away = {
        name: sum(getattr(estimate, name) - truth for estimate in estimates) / seeds
        for name in ("value", "extrapolated")
    }
    assert away["value"] > 0
    assert abs(away["extrapolated"]) < away["value"] / 4
    misses = {
        name: sum(abs(getattr(estimate, name) - truth) for estimate in estimates)
        for name in ("value", "extrapolated")
    }
    assert misses["extrapolated"] < misses["value"]


@pytest.mark.parametrize("side", ["first", "second", "both"])
def test_errors_are_unknown_where_groups_are_too_empty(draw_features, statistics, side):
    """Half of the groups hold a single image: the distance stands, its error does not."""
    draws = torch.tensor([0, 0, 0, 0, 5])  # groups 5 to 9 are one half
    few = FeatureStatistics.of(draw_features(5), draws, capacity=9)
    many = statistics(draw_features(200))
    pair = {"first": (few, many), "second": (many, few), "both": (few, few)}[side]
    estimate = frechet_distance(*pair)
    assert math.isfinite(estimate.value)
    assert estimate.error is None
    assert estimate.extrapolated is None


def test_errors_are_known_as_soon_as_every_half_has_two_images(draw_features):
    draws = torch.tensor([0, 1, 5, 6, 2, 7])
    few = FeatureStatistics.of(draw_features(6), draws, capacity=9)
    estimate = frechet_distance(few, few)
    assert estimate.error == pytest.approx(0, abs=1e-12)
    assert estimate.extrapolated == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_a_distance_of_fewer_than_two_images_is_refused(draw_features, statistics, count):
    few, many = statistics(draw_features(count)), statistics(draw_features(50))
    for pair in ((few, many), (many, few)):
        with pytest.raises(ValueError, match=f"at least 2 samples, got {count}"):
            frechet_distance(*pair)


# Kernel distance


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


# Precision and recall


@pytest.mark.parametrize("neighbours", [1, 3])
def test_precision_and_recall_are_those_of_torch_fidelity(draw_features, neighbours):
    a, b = draw_features(80), 0.6 * draw_features(110, shift=0.4)
    expected = prc_features_to_metric(
        a, b, prc_neighborhood=neighbours, prc_batch_size=10, save_cpu_ram=False, verbose=False
    )
    precision, recall = precision_recall(a, b, neighbours=neighbours)
    assert (precision, recall) == (expected["precision"], expected["recall"])
    assert 0 < precision < recall  # so that the two cannot be mixed up


def test_precision_and_recall_are_the_shares_within_reach(draw_features):
    a, b = draw_features(50), draw_features(70, shift=0.8)

    def share(points, centres):
        reach = scipy.spatial.distance.cdist(centres, centres)
        reach.sort(axis=1)
        return (scipy.spatial.distance.cdist(points, centres) <= reach[:, 3]).any(axis=1).mean()

    expected = share(a, b), share(b, a)
    assert precision_recall(a, b) == pytest.approx(expected)
    assert precision_recall(b, a) == pytest.approx(expected[::-1])


def test_precision_and_recall_are_one_for_equal_sets(draw_features):
    features = draw_features(40, shift=10.0)
    assert precision_recall(features, features.flip(0)) == (1, 1)


def test_precision_and_recall_are_zero_for_sets_far_apart(draw_features):
    assert precision_recall(draw_features(40), draw_features(40, shift=1e3)) == (0, 0)


@pytest.mark.parametrize(("n", "m"), [(3, 50), (50, 3), (0, 50)])
def test_precision_and_recall_are_unknown_without_a_third_neighbour(draw_features, n, m):
    assert precision_recall(draw_features(n), draw_features(m)) is None
    assert precision_recall(draw_features(4), draw_features(4)) is not None


# Inception Score


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
