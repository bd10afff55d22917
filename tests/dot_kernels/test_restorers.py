import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels.degradations import (
    Downscale,
    GaussianBlur,
    Jpeg,
    Noise,
    blur,
    degrade,
)
from dot_kernels.restorers import _interpolate, bicubic, smooth
from dot_kernels.sampling import SamplingGrid


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_is_the_enlargement_of_pillow(rng, factor):
    degraded = 0.4 + 0.2 * torch.rand(3, 7, 5, generator=rng)
    size = (5 * factor, 7 * factor)
    expected = [
        np.array(Image.fromarray(plane.numpy()).resize(size, Image.BICUBIC)) for plane in degraded
    ]
    restored = bicubic(degraded, [Downscale(factor=factor)])
    assert_close(restored, torch.from_numpy(np.stack(expected)))


def test_bicubic_undoes_the_size_of_all_downscalings_together(rng):
    steps = [Downscale(factor=2), Noise(sigma=0.1), Downscale(factor=3)]
    degraded = degrade(torch.rand(3, 12, 18, generator=rng), steps, rng)
    assert bicubic(degraded, steps).shape == (3, 12, 18)


def test_bicubic_keeps_a_flat_image_flat():
    restored = bicubic(torch.full((3, 4, 4), 0.7), [Downscale(factor=3)])
    assert_close(restored, torch.full((3, 12, 12), 0.7))


def test_bicubic_continues_a_ramp_away_from_the_border():
    ramp = torch.linspace(0.1, 0.9, 9).expand(3, 9, 9)
    restored = bicubic(ramp, [Downscale(factor=2)])
    steps = restored[:, :, 4:-4].diff(dim=2)
    assert_close(steps, torch.full_like(steps, 0.05))


@pytest.mark.parametrize("steps", [[], [Noise(sigma=0.1), Jpeg(quality=50)]])
def test_without_downscaling_bicubic_only_clips(rng, steps):
    degraded = torch.randn(3, 6, 7, generator=rng)
    assert_close(bicubic(degraded, steps), degraded.clamp(0, 1))


def test_bicubic_overshoots_neither_black_nor_white():
    edge = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(3, 4, 4)
    restored = bicubic(edge, [Downscale(factor=4)])
    assert (restored.min(), restored.max()) == (0, 1)


# Of images whose pixels lie on another grid: a stride keeps the first of so many pixels


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("more", [[], [Downscale(factor=2)], [Noise(sigma=0.0)]])
def test_bicubic_puts_the_pixels_that_a_stride_kept_where_they_came_from(rng, stride, more):
    ramp = torch.linspace(0.1, 0.9, 96).expand(3, 96, 96)
    steps = [GaussianBlur(size=5, sigma=1.0, stride=stride), *more]
    restored = bicubic(degrade(ramp, steps, rng), steps)
    assert restored.shape == ramp.shape
    inside = slice(40, -40)  # five of the largest pixels from the border
    assert_close(restored[:, inside, inside], ramp[:, inside, inside])


def test_a_stride_alone_leaves_the_pixels_that_it_kept(rng):
    image = torch.rand(3, 12, 16, generator=rng)
    steps = [GaussianBlur(size=1, sigma=1.0, stride=4)]
    restored = bicubic(degrade(image, steps, rng), steps)
    assert_close(restored[:, ::4, ::4], image[:, ::4, ::4])


@pytest.mark.parametrize("spacing", [1, 2, 3, 4])
@pytest.mark.parametrize("width", [1, 2, 3, 9])
def test_interpolation_in_the_middle_of_pixels_is_that_of_torch(rng, spacing, width):
    image = torch.rand(3, 2, width, generator=rng)
    size = (2, width * spacing)
    expected = functional.interpolate(image[None], size, mode="bicubic", antialias=True)[0]
    assert_close(
        _interpolate(image, SamplingGrid(spacing, (spacing - 1) / 2), width * spacing), expected
    )


@pytest.mark.parametrize("stride", [2, 16])
def test_a_single_pixel_that_a_stride_kept_becomes_a_flat_image(stride):
    steps = [GaussianBlur(size=3, sigma=1.0, stride=stride)]
    restored = bicubic(torch.full((3, 1, 1), 0.4), steps)
    assert_close(restored, torch.full((3, stride, stride), 0.4))


# The smoother


def test_smoothing_removes_noise_and_clips(rng):
    clean = 0.5 + 0.3 * torch.sin(torch.linspace(0, 6, 64)).expand(3, 64, 64)
    noise = [Noise(sigma=0.2)]
    degraded = degrade(clean, noise, rng)
    restored = smooth(degraded, noise, size=7, sigma=1.5)
    expected = blur(degraded, GaussianBlur(size=7, sigma=1.5)).clamp(0, 1)
    assert_close(restored, expected, rtol=0, atol=0)
    errors = [(image - clean).square().mean().item() for image in (restored, degraded)]
    assert errors[0] < errors[1] / 10


def test_smoothing_brings_back_the_size(rng):
    steps = [Downscale(factor=2), Noise(sigma=0.1)]
    degraded = degrade(torch.rand(3, 12, 18, generator=rng), steps, rng)
    restored = smooth(degraded, steps, size=3, sigma=0.8)
    smoothed = blur(degraded, GaussianBlur(size=3, sigma=0.8))
    assert_close(restored, bicubic(smoothed, steps), rtol=0, atol=0)
    assert restored.shape == (3, 12, 18)


def test_a_smoother_out_of_range_is_refused():
    with pytest.raises(ValueError, match="must be odd"):
        smooth(torch.zeros(3, 8, 8), [], size=4, sigma=1.0)


def test_borders_that_a_blur_left_out_are_continued(rng):
    steps = [GaussianBlur(size=16, sigma=2.0, stride=4)]
    ramp = torch.linspace(0.1, 0.9, 48).expand(3, 32, 48)
    restored = bicubic(degrade(ramp, steps, rng), steps)
    assert restored.shape == ramp.shape
    assert_close(restored[:, :, 12:-12], ramp[:, :, 12:-12])
    assert float((restored - ramp).abs().max()) < 0.15


def test_a_smoother_of_even_size_is_refused():
    with pytest.raises(ValueError, match="must be odd, got 4"):
        smooth(torch.rand(3, 8, 8), [], size=4, sigma=1.0)
