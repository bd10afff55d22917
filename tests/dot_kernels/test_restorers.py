import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from dot_kernels.degradations import Downscale, Jpeg, Noise, degrade
from dot_kernels.restorers import bicubic


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
