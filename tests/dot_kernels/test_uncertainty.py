import numpy as np
import pytest
import scipy.linalg
import torch

from dot_kernels import GaussianMoments
from dot_kernels.uncertainty import distance_standard_error, map_standard_error


def draw_images(rng, count, patches=40, deviation=1.0, dimension=1):
    """Patches of several images: one row for each image, a column for each patch."""
    return deviation * torch.randn(count, patches, dimension, generator=rng).double()


def moments(images):
    return [GaussianMoments.of(image) for image in images]


def jackknife(source, target, groups):
    """The literal error of a map that is the root of a ratio of total variances."""
    maps = []
    for group in range(groups):
        kept = [index for index in range(len(source)) if index % groups != group]
        totals = [side[kept].flatten(0, 1).var(dim=0).sum().item() for side in (source, target)]
        maps.append(np.sqrt(totals[1] / totals[0]))
    variance = (groups - 1) / groups * np.sum((np.array(maps) - np.mean(maps)) ** 2)
    return np.sqrt(variance) / abs(np.mean(maps) - 1)


@pytest.mark.parametrize(("images", "groups"), [(6, 6), (6, 3), (7, 3), (5, 10)])
def test_error_is_the_jackknife_over_groups_of_images(rng, images, groups):
    source, target = draw_images(rng, images), draw_images(rng, images, deviation=3)
    error = map_standard_error(moments(source), moments(target), ridge=0.0, groups=groups)
    assert error == pytest.approx(jackknife(source, target, min(groups, images)))


def test_error_under_a_huge_ridge_is_that_of_the_total_variances(rng):
    """The map is then one ratio for all directions."""
    source, target = (draw_images(rng, 6, deviation=s, dimension=3) for s in (1, 3))
    error = map_standard_error(moments(source), moments(target), ridge=1e6)
    assert error == pytest.approx(jackknife(source, target, 6), rel=1e-5)


def test_error_is_the_spread_of_maps_over_repeated_experiments(rng):
    maps, told = [], []
    for _ in range(100):
        source, target = draw_images(rng, 10), draw_images(rng, 10, deviation=3)
        maps.append(target.std().item() / source.std().item())
        told.append(map_standard_error(moments(source), moments(target), ridge=0.0))
    spread = np.std(maps) / (np.mean(maps) - 1)
    # three standard errors of a standard deviation over 100 experiments
    assert np.sqrt(np.mean(np.square(told))) == pytest.approx(spread, rel=3 / np.sqrt(200))


def test_error_of_a_single_image_is_not_known(rng):
    one, many = moments(draw_images(rng, 1)), moments(draw_images(rng, 5, deviation=3))
    assert map_standard_error(one, many, ridge=0.0) is None
    assert map_standard_error(many, one, ridge=0.0) is None


def test_error_is_not_known_where_a_group_less_leaves_too_few_patches(rng):
    few, enough = (moments(draw_images(rng, 2, patches=n)) for n in (1, 2))
    assert map_standard_error(few, enough, ridge=0.0) is None
    assert map_standard_error(enough, few, ridge=0.0) is None
    assert map_standard_error(enough, enough[::-1], ridge=0.0) is not None


def test_error_is_not_known_where_one_image_holds_nearly_all_patches(rng):
    uneven = [GaussianMoments.of(torch.randn(n, 2, generator=rng)) for n in (100, 1, 1)]
    assert map_standard_error(uneven, uneven, ridge=0.0) is None


def test_error_relative_to_the_identity_is_not_known_for_the_identity():
    image = GaussianMoments.of(torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    assert map_standard_error([image] * 4, [image] * 4, ridge=0.0) is None


def flat(level, count):
    """Moments of images of one colour."""
    return moments(torch.full((count, 40, 2), level).double())


def test_error_is_not_known_where_a_group_less_leaves_patches_that_do_not_vary(rng):
    (varied,) = moments(torch.tensor([[[-1.0, 1], [1, 1], [-1, -1], [1, -1]]]))
    enough = moments(draw_images(rng, 2, dimension=2))
    assert map_standard_error([varied, *flat(0.0, 1)], enough, ridge=1e-5) is None
    assert map_standard_error(enough, [*flat(0.0, 1), varied], ridge=1e-5) is None


def test_error_is_not_known_where_patches_vary_by_rounding_only(rng):
    for _ in range(20):  # rounding may as well leave nothing, or less
        (varied,) = moments(draw_images(rng, 1, dimension=2))
        enough = moments(draw_images(rng, 3, dimension=2))
        assert map_standard_error(enough, [*flat(0.3, 2), varied], ridge=1e-5) is None


# The distance between Gaussians


def distances_by_numpy(x, y):
    """Squared Gelbrich distances of pairs of sets, (sets, n, d) each, from the definition."""
    means = [side.mean(axis=1, keepdims=True) for side in (x, y)]
    centred = [side - mean for side, mean in zip((x, y), means, strict=True)]
    first, second = (c.swapaxes(1, 2) @ c / (c.shape[1] - 1) for c in centred)
    roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum(axis=1)
    traces = np.trace(first + second, axis1=1, axis2=2)
    return ((means[0] - means[1]) ** 2).sum(axis=(1, 2)) + traces - 2 * roots


def in_groups(samples, groups=10):
    """Moments of every so many-th sample."""
    return [GaussianMoments.of(samples[group::groups]) for group in range(groups)]


def draw_pairs(rng, sets, n, d, kind):
    """Two sets of samples, so many times: ``own`` are images softened and their references.

    In ``skewed`` sets the samples are no Gaussians, and no two sides are of one size.
    """
    mixing = np.eye(d) + 0.3 * np.random.default_rng(d).standard_normal((d, d))
    x, y = (rng.standard_normal((sets, count, d)) @ mixing for count in (n, n))
    if kind == "own":
        return y * np.linspace(0.2, 1, d) + 0.1 * rng.standard_normal(y.shape), y
    if kind == "skewed":
        size = np.sqrt(1 + 0.3**2 * d)  # of a feature: tails are as heavy whatever d
        few = y[:, : max(len(y[0]) * 3 // 4, 2)]
        return np.exp(0.45 * x / size), 1.4 * np.exp(0.38 * few / size)
    return x, 1.4 * y + 0.4


def told_over_true(kind, n, d, sets, seed=0):
    """The root mean square of the errors told, over the spread of the distances by numpy."""
    x, y = draw_pairs(np.random.default_rng(seed), sets, n, d, kind)
    told = [
        distance_standard_error(in_groups(torch.from_numpy(a)), in_groups(torch.from_numpy(b)))
        for a, b in zip(x[:60], y[:60], strict=True)
    ]
    return np.sqrt(np.mean(np.square(told))) / distances_by_numpy(x, y).std(ddof=1)


@pytest.mark.parametrize("kind", ["own", "other", "skewed"])
@pytest.mark.parametrize("ratio", [1.5, 5, 20])
def test_error_of_a_distance_is_its_spread_over_independent_draws(kind, ratio):
    assert 1 / 1.4 < told_over_true(kind, int(ratio * 16), 16, 500) < 1.4


def test_error_of_patches_is_that_of_images_whose_patches_depend_on_each_other():
    """The other side is given: a group that holds all of it, so that none moves it."""
    rng, images, patches, d = np.random.default_rng(4), 40, 25, 5
    natural = GaussianMoments.of(torch.from_numpy(rng.standard_normal((900, d))))
    others = [natural, *[GaussianMoments.zero(d)] * 9]
    fixed = np.linalg.cholesky(natural.covariance().numpy())
    told, found = [], []
    for _ in range(200):
        level, contrast = rng.standard_normal((images, 1, d)), rng.gamma(4, 0.12, (images, 1, 1))
        x = 0.5 * level + contrast * rng.standard_normal((images, patches, d))
        groups = [GaussianMoments.of(torch.from_numpy(x[g::10].reshape(-1, d))) for g in range(10)]
        told.append(distance_standard_error(groups, others))
        mean, covariance = x.mean(axis=(0, 1)), np.cov(x.reshape(-1, d).T)
        root = np.sqrt(np.linalg.eigvalsh(fixed.T @ covariance @ fixed)).sum()
        shift = ((mean - natural.mean.numpy()) ** 2).sum()
        found.append(shift + np.trace(covariance) + (fixed**2).sum() - 2 * root)
    ratio = np.sqrt(np.mean(np.square(told))) / np.std(found, ddof=1)
    assert 1 / 1.4 < ratio < 1.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "other", "skewed"])
@pytest.mark.parametrize("d", [12, 48, 128])
@pytest.mark.parametrize("ratio", [0.5, 1.5, 2, 3, 5, 10, 20])
def test_error_of_a_distance_is_its_spread_at_any_size(kind, d, ratio):
    assert 1 / 1.4 < told_over_true(kind, max(int(ratio * d), 10), d, 400) < 1.4


@pytest.mark.parametrize("kind", ["own", "other"])
def test_error_with_fewer_samples_than_features_is_that_of_as_few(kind):
    assert 1 / 1.4 < told_over_true(kind, 20, 30, 400) < 1.4


def test_error_between_sets_of_one_law_is_too_large_by_the_root_of_two_at_most():
    """There the distance is quadratic: the variance of its first order is twice its own."""
    rng, sets = np.random.default_rng(1), 600
    x, y = (rng.standard_normal((sets, 80, 8)) for _ in range(2))
    told = [
        distance_standard_error(in_groups(torch.from_numpy(a)), in_groups(torch.from_numpy(b)))
        for a, b in zip(x[:100], y[:100], strict=True)
    ]
    ratio = np.sqrt(np.mean(np.square(told))) / distances_by_numpy(x, y).std(ddof=1)
    assert ratio == pytest.approx(np.sqrt(2), rel=0.1)  # three standard errors of the spread


def weighted_distance(x, y, weights):
    """The distance of sets whose sample i counts ``weights[i % 10]`` times, by SciPy."""
    moments = []
    for side in (x, y):
        own = weights[np.arange(len(side)) % 10]
        mean = np.average(side, axis=0, weights=own)
        moments.append((mean, np.cov(side.T, aweights=own, ddof=0) * len(side) / (len(side) - 1)))
    (mean_x, cov_x), (mean_y, cov_y) = moments
    root = scipy.linalg.sqrtm(cov_x)
    cross = scipy.linalg.sqrtm(root @ cov_y @ root).real
    return ((mean_x - mean_y) ** 2).sum() + np.trace(cov_x + cov_y - 2 * cross)


def test_error_of_a_distance_is_made_of_what_each_group_moves_it():
    """By how much, is found by letting each group count a little more and a little less."""
    x, y = (sides[0] for sides in draw_pairs(np.random.default_rng(3), 1, 60, 5, "own"))
    moved = []
    for group in range(10):
        more, less = np.ones(10), np.ones(10)
        more[group], less[group] = 1 + 1e-4, 1 - 1e-4
        moved.append((weighted_distance(x, y, more) - weighted_distance(x, y, less)) / 2e-4)
    expected = np.sqrt(10 / 9 * np.sum(np.square(moved)))
    error = distance_standard_error(in_groups(torch.from_numpy(x)), in_groups(torch.from_numpy(y)))
    assert error == pytest.approx(expected, rel=1e-5)  # of differences


def test_error_of_a_distance_does_not_depend_on_the_side_or_the_unit(rng):
    x, y = torch.randn(50, 6, generator=rng).double(), 2 * torch.randn(70, 6, generator=rng) + 1
    error = distance_standard_error(in_groups(x), in_groups(y))
    assert distance_standard_error(in_groups(y), in_groups(x)) == pytest.approx(error)
    for scale in (1e-6, 1e6):
        scaled = distance_standard_error(in_groups(scale * x), in_groups(scale * y.double()))
        assert scaled == pytest.approx(scale**2 * error, rel=1e-6)


def test_error_of_a_distance_survives_features_that_are_constant(rng):
    x, y = torch.randn(50, 6, generator=rng).double(), 2 * torch.randn(70, 6, generator=rng) + 1
    error = distance_standard_error(in_groups(x), in_groups(y))
    flat = [torch.nn.functional.pad(side.double(), (0, 3), value=7.0) for side in (x, y)]
    assert distance_standard_error(*map(in_groups, flat)) == pytest.approx(error, rel=1e-6)


def test_error_of_a_distance_to_itself_is_zero(rng):
    x = torch.randn(60, 5, generator=rng).double()
    assert distance_standard_error(in_groups(x), in_groups(x)) == pytest.approx(0, abs=1e-12)
    flat = torch.ones(60, 5).double()
    assert distance_standard_error(in_groups(flat), in_groups(flat)) == 0


@pytest.mark.parametrize("few", [torch.ones(1, 3), torch.ones(0, 3)])
def test_error_of_a_distance_of_one_sample_is_not_known(rng, few):
    many = in_groups(torch.randn(60, 3, generator=rng))
    assert distance_standard_error(in_groups(few), many) is None
    assert distance_standard_error(many, in_groups(few)) is None


def test_error_of_a_distance_needs_two_groups_with_samples(rng):
    one = [GaussianMoments.of(torch.randn(9, 3, generator=rng)), GaussianMoments.zero(3)]
    assert distance_standard_error(one, one) is None


def test_error_of_a_distance_needs_the_same_groups_and_features(rng):
    x = torch.randn(60, 3, generator=rng)
    with pytest.raises(ValueError, match="must have as many groups, got 10 and 5"):
        distance_standard_error(in_groups(x), in_groups(x, 5))
    with pytest.raises(ValueError, match="must have the same dimension, got 3 and 2"):
        distance_standard_error(in_groups(x), in_groups(x[:, :2]))
