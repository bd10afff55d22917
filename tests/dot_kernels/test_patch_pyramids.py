import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import correlate1d
from torch.testing import assert_close

from dot_kernels.patch_pyramids import (
    drawn_patches,
    halved,
    patches_adjoint,
    patches_of,
    pyramid,
    pyramid_adjoint,
)


def test_halving_is_a_gaussian_of_four_pixels_of_which_every_second_is_kept(rng):
    image = torch.rand(2, 13, 16, generator=rng, dtype=torch.float64)
    taps = np.exp(-0.5 * np.array([-1.5, -0.5, 0.5, 1.5]) ** 2)
    blurred = image.numpy()
    for axis in (1, 2):
        blurred = correlate1d(blurred, taps / taps.sum(), axis=axis, origin=-1)
    expected = blurred[:, 1:-2:2, 1:-2:2]  # those whose four pixels, from −1 to 2, are inside
    assert_close(halved(image), torch.from_numpy(expected.copy()))


def test_a_flat_image_stays_flat():
    for level in pyramid(torch.full((3, 40, 30), 0.7), 3, 4):
        assert_close(level, torch.full_like(level, 0.7))


@pytest.mark.parametrize(
    ("smallest", "sides"), [(8, [(40, 30), (19, 14)]), (6, [(40, 30), (19, 14), (8, 6)])]
)
def test_levels_end_before_they_are_smaller_than_a_patch(rng, smallest, sides):
    levels = pyramid(torch.rand(1, 40, 30, generator=rng), 5, smallest)
    assert [tuple(level.shape[1:]) for level in levels] == sides
    assert len(pyramid(levels[0], 1, smallest)) == 1


@pytest.mark.parametrize("size", [(40, 30), (21, 27)])
def test_the_adjoint_of_a_pyramid_has_the_same_inner_products(rng, size):
    image = torch.rand(3, *size, generator=rng, dtype=torch.float64)
    levels = pyramid(image, 3, 3)
    assert len(levels) == 3
    others = [torch.rand(x.shape, generator=rng, dtype=torch.float64) for x in levels]
    expected = sum((x * y).sum() for x, y in zip(levels, others, strict=True))
    assert_close((image * pyramid_adjoint(others)).sum(), expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_patches_are_those_of_numpy_and_the_last_is_among_them(rng, stride):
    image = torch.rand(3, 11, 9, generator=rng)
    windows = sliding_window_view(image.numpy(), (4, 4), axis=(1, 2))
    rows, columns = (sorted({*range(0, n - 3, stride), n - 4}) for n in (11, 9))
    expected = windows[:, rows][:, :, columns].transpose(1, 2, 0, 3, 4).reshape(-1, 48)
    assert_close(patches_of(image, 4, stride), torch.from_numpy(expected.copy()))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_adjoint_of_patches_has_the_same_inner_products(rng, stride):
    image = torch.rand(3, 11, 9, generator=rng, dtype=torch.float64)
    patches = patches_of(image, 4, stride)
    other = torch.rand(patches.shape, generator=rng, dtype=torch.float64)
    found = patches_adjoint(other, image.shape, 4, stride)
    assert_close((image * found).sum(), (patches * other).sum())
    covered = patches_adjoint(torch.ones_like(patches), image.shape, 4, stride)
    assert covered.min() >= 1


def test_patches_are_drawn_once_each_and_all_of_them_if_they_are_few(rng):
    image = torch.rand(2, 7, 9, generator=rng)
    whole = patches_of(image, 3, 1)
    assert torch.equal(drawn_patches(image, 3, 35, rng), whole)
    drawn = [drawn_patches(image, 3, 12, rng) for _ in range(2)]
    places = [(whole[:, None] == each).all(dim=2).nonzero() for each in drawn]
    assert [len(set(found[:, 0].tolist())) for found in places] == [12, 12]
    assert not torch.equal(*drawn)
