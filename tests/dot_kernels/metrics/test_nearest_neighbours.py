"""Precision and recall against torch-fidelity, NumPy, closed forms and repeated draws."""

import numpy as np
import pytest
import scipy.spatial
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from dot_kernels.metrics import FeatureStatistics, precision_recall


def of(features, draws):
    return FeatureStatistics.of(features, draws, capacity=1 << 30)


def values(found):
    return found.precision.value, found.recall.value


@pytest.mark.parametrize("neighbours", [1, 3])
def test_of_other_images_they_are_those_of_torch_fidelity(draw_features, statistics, neighbours):
    a, b = draw_features(80), 0.6 * draw_features(110, shift=0.4)
    expected = prc_features_to_metric(
        a, b, prc_neighborhood=neighbours, prc_batch_size=10, save_cpu_ram=False, verbose=False
    )
    found = values(precision_recall(statistics(a), statistics(b), neighbours=neighbours))
    # theirs is a share in float32
    assert found == pytest.approx((expected["precision"], expected["recall"]), rel=1e-6)
    assert 0 < found[0] < found[1]  # so that the two cannot be mixed up


def share_by_numpy(points, centres, own):
    """The share of points within reach of a centre that is not their own."""
    reach = np.sort(scipy.spatial.distance.cdist(centres, centres), axis=1)[:, 3]
    held = scipy.spatial.distance.cdist(points, centres) <= reach
    held[own[:, None] == np.arange(len(centres))] = False
    return held.any(axis=1).mean()


def test_an_image_is_not_held_by_its_own_reference_nor_the_reverse(draw_features, draw_draws):
    """Half of the images have their reference in the other set, in another order."""
    a, b = draw_features(50), draw_features(70, shift=0.3)
    a[:25] = b[40:65] + 0.1 * draw_features(25)
    draws = draw_draws(70)
    keys = torch.cat([draws[40:65], draw_draws(25)])
    own_a, own_b = np.full(50, -1), np.full(70, -1)
    own_a[:25], own_b[40:65] = range(40, 65), range(25)
    expected = share_by_numpy(a, b, own_a), share_by_numpy(b, a, own_b)
    assert values(precision_recall(of(a, keys), of(b, draws))) == pytest.approx(expected)
    assert values(precision_recall(of(b, draws), of(a, keys))) == pytest.approx(expected[::-1])
    apart = values(precision_recall(of(a, draw_draws(50)), of(b, draws)))
    assert apart[0] > expected[0]


def test_images_next_to_their_references_are_rated_as_other_images_would_be(rng, draw_draws):
    """A fifth of what noise of the images' own size is, and counted by the own pair: all."""
    d, n = 128, 200
    reference, others = (torch.randn(n, d, generator=rng) for _ in range(2))
    images = 0.98 * reference + 0.2 * torch.randn(n, d, generator=rng)
    draws = draw_draws(n)
    own = values(precision_recall(of(images, draws), of(reference, draws)))
    unknown = values(precision_recall(of(images, draw_draws(n)), of(reference, draws)))
    other = values(precision_recall(of(others, draw_draws(n)), of(reference, draws)))
    assert unknown == (1, 1)
    assert own == pytest.approx(other, abs=0.1)  # three standard errors of a share of 200
    assert max(own) < 0.9


@pytest.mark.parametrize("kind", ["equal", "with duplicates", "far from zero"])
def test_equal_sets_are_rated_by_all_images_but_the_own(draw_features, draw_draws, kind):
    """Distances are equal then but for rounding, which must not decide."""
    features = draw_features(40, shift=1000.0 if kind == "far from zero" else 0.0)
    if kind == "with duplicates":
        features = features[:8].repeat(5, 1)
    draws, order = draw_draws(40), torch.arange(39, -1, -1)
    found = precision_recall(of(features, draws), of(features[order], draws[order]))
    nearest = scipy.spatial.distance.cdist(features.double(), features.double()).argsort(axis=1)
    expected = len(np.unique(nearest[:, 1:4])) / 40  # whoever is among the three nearest of one
    assert values(found) == pytest.approx([1 if kind == "with duplicates" else expected] * 2)


def test_they_are_one_for_equal_sets_of_other_images(draw_features, statistics):
    features = draw_features(40, shift=10.0)
    found = precision_recall(statistics(features), statistics(features.flip(0)))
    assert values(found) == (1, 1)


def test_they_are_zero_for_sets_far_apart(draw_features, statistics):
    sides = statistics(draw_features(40)), statistics(draw_features(40, shift=1e3))
    assert precision_recall(*sides) == ((0, 0), (0, 0))


def test_they_do_not_depend_on_the_order_or_on_how_many_distances_are_held(
    draw_features, draw_draws, monkeypatch
):
    a, b, draws = draw_features(50), draw_features(60, shift=0.5), draw_draws(60)
    expected = precision_recall(of(a, draws[:50]), of(b, draws))
    order = torch.arange(49, -1, -1)
    monkeypatch.setattr("dot_kernels.metrics.nearest_neighbours._ENTRIES_AT_ONCE", 7 * 60)
    found = precision_recall(of(a[order], draws[:50][order]), of(b, draws))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other)


@pytest.mark.parametrize(("n", "m"), [(3, 50), (50, 3), (0, 50)])
def test_they_are_unknown_without_a_third_neighbour(draw_features, statistics, n, m):
    assert precision_recall(statistics(draw_features(n)), statistics(draw_features(m))) is None
    few = precision_recall(statistics(draw_features(4)), statistics(draw_features(4)))
    assert few.precision.error is None
    assert few.recall.error is None


def test_features_of_different_networks_are_refused(draw_features, statistics):
    with pytest.raises(ValueError, match="must have the same dimension, got 6 and 4"):
        precision_recall(statistics(draw_features(9)), statistics(draw_features(9, 4)))


def draw_sides(kind, n, d, rng, draw_draws):
    mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=torch.Generator().manual_seed(d))
    reference, draws = torch.randn(n, d, generator=rng) @ mixing, draw_draws(n)
    if kind == "own":
        noise = 0.2 * torch.randn(n, d, generator=rng)
        return of(reference * torch.linspace(0.3, 1, d) + noise, draws), of(reference, draws)
    others = 0.8 * torch.randn(n // 2, d, generator=rng) @ mixing
    return of(others, draw_draws(n // 2)), of(reference, draws)


def told_over_true(kind, n, d, sets, rng, draw_draws):
    """For precision and recall, the errors' root mean square over the spread by NumPy."""
    true, told = [], []
    for _ in range(sets):
        a, b = draw_sides(kind, n, d, rng, draw_draws)
        own = np.arange(n) if kind == "own" else np.full(n, -1)
        true.append(
            [
                share_by_numpy(one.features, other.features, own[: len(one.draws)])
                for one, other in ((a, b), (b, a))
            ]
        )
        told.append([estimate.error for estimate in precision_recall(a, b)])
    return np.sqrt(np.mean(np.square(told), axis=0)) / np.std(true, axis=0, ddof=1)


@pytest.mark.parametrize("kind", ["own", "other"])
def test_errors_are_the_spread_over_independent_draws(kind, rng, draw_draws):
    ratios = told_over_true(kind, 100, 8, 60, rng, draw_draws)
    assert (ratios > 1 / 1.5).all()
    assert (ratios < 1.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "other"])
@pytest.mark.parametrize(("n", "d"), [(60, 6), (200, 8), (200, 32), (600, 16)])
def test_errors_are_the_spread_at_any_size(kind, n, d, rng, draw_draws):
    ratios = told_over_true(kind, n, d, 150, rng, draw_draws)
    assert (ratios > 1 / 1.5).all()
    assert (ratios < 1.5).all()
