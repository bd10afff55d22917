import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import GaussianMoments, patch_moments, patches

LATENT_SIZES = [  # patch size, height, width
    (1, 1, 1),
    (1, 3, 5),
    (2, 2, 2),  # exactly one patch
    (2, 2, 9),
    (2, 5, 4),
    (3, 3, 3),
    (3, 4, 11),
    (3, 8, 9),
    (3, 12, 10),
    (4, 7, 15),
    (5, 5, 5),
    (5, 17, 16),
]


def draw_latents(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("size", "height", "width"), LATENT_SIZES)
def test_patch_moments_are_those_of_all_windows_in_channel_row_column_order(
    rng, size, height, width
):
    latents = draw_latents(rng, 2, 3, height, width) + 10
    windows = np.lib.stride_tricks.sliding_window_view(latents, (size, size), axis=(2, 3))
    vectors = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size**2)  # (n, d)
    moments = patch_moments(latents, size)
    assert moments.count == len(vectors) == 2 * (height - size + 1) * (width - size + 1)
    assert_close(moments.mean.numpy(), vectors.mean(axis=0))
    centred = vectors - vectors.mean(axis=0)
    assert_close(moments.scatter.numpy(), centred.T @ centred)


@pytest.mark.parametrize("rows_at_once", [1, 20, 25])
def test_patch_moments_do_not_depend_on_the_strips_that_bound_memory(
    rng, monkeypatch, rows_at_once
):
    latents = draw_latents(rng, 2, 2, 13, 10)
    whole, unfold, sizes = patch_moments(latents, 3), functional.unfold, []

    def watched(*arguments):
        sizes.append(unfold(*arguments).shape[2])
        return unfold(*arguments)

    monkeypatch.setattr(patches, "_ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(functional, "unfold", watched)
    strips = patch_moments(latents, 3)
    assert max(sizes) <= max(rows_at_once, 8)  # one row of patches is the least
    assert strips.count == whole.count
    assert_close(strips.mean, whole.mean)
    assert_close(strips.scatter, whole.scatter)


def test_patch_moments_of_a_batch_are_the_sum_over_its_images(rng):
    latents = draw_latents(rng, 3, 2, 6, 7)
    apart = sum((patch_moments(latents[i : i + 1], 3) for i in range(3)), GaussianMoments.zero(18))
    together = patch_moments(latents, 3)
    assert together.count == apart.count
    assert_close(together.scatter, apart.scatter)


@pytest.mark.parametrize("shape", [(1, 2, 2, 9), (1, 2, 9, 2), (0, 2, 9, 9)])
def test_latents_smaller_than_a_patch_have_no_patches(shape):
    moments = patch_moments(torch.ones(shape), 3)
    assert (moments.count, moments.dimension) == (0, 18)


def test_a_patch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="patch size must be at least 1, got 0"):
        patch_moments(torch.ones(1, 2, 4, 4), 0)


def test_moments_of_latents_that_are_not_finite_are_refused():
    latents = torch.ones(2, 2, 4, 4)
    latents[1, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="samples must be finite"):
        patch_moments(latents, 3)


def test_patches_with_a_pixel_that_is_not_shown_do_not_count(rng):
    latents = torch.rand(2, 3, 9, 11, generator=rng)
    shown = torch.rand(2, 9, 11, generator=rng) > 0.1
    found = patch_moments(latents, 3, shown)
    patches = [
        latents[b, :, y : y + 3, x : x + 3].flatten()
        for b in range(2)
        for y in range(7)
        for x in range(9)
        if bool(shown[b, y : y + 3, x : x + 3].all())
    ]
    expected = GaussianMoments.of(torch.stack(patches))
    assert 0 < found.count == expected.count < 2 * 7 * 9
    assert_close(found.scatter, expected.scatter)
    assert patch_moments(latents, 3, torch.zeros_like(shown)).count == 0
