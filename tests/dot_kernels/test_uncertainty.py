import numpy as np
import pytest
import torch

from dot_kernels import GaussianMoments
from dot_kernels.uncertainty import map_standard_error


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
