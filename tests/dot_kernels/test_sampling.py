"""How many pixels degraded images have, and where they lie."""

import pytest
import torch
from torch.testing import assert_close

from dot_kernels.degradations import Downscale, GaussianBlur, Jpeg, Noise, degrade
from dot_kernels.sampling import (
    degradable_sides,
    sampling_grid,
    sides_before,
    total_downscaling,
)


def test_total_downscaling_is_the_product_of_the_factors():
    assert total_downscaling([]) == 1
    assert total_downscaling([Noise(sigma=0.1), Jpeg(quality=10)]) == 1
    assert total_downscaling([Downscale(factor=2), Noise(sigma=0.1), Downscale(factor=3)]) == 6
    assert total_downscaling([GaussianBlur(size=3, sigma=1.0, stride=2), Downscale(factor=3)]) == 6


STRIDE = GaussianBlur(size=5, sigma=1.0, stride=3)
EVEN = GaussianBlur(size=16, sigma=2.0, stride=4)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Downscale(factor=4)],
        [Downscale(factor=3, kernel="area"), Downscale(factor=2, kernel="bilinear")],
        [GaussianBlur(size=3, sigma=0.8), STRIDE],
        [STRIDE, Downscale(factor=2)],
        [Downscale(factor=2), STRIDE],
        [EVEN],
        [Downscale(factor=2), GaussianBlur(size=4, sigma=0.8), Noise(sigma=0.0)],
        [GaussianBlur(size=2, sigma=0.8, stride=2), GaussianBlur(size=4, sigma=0.8, stride=3)],
    ],
)
def test_pixels_of_a_degraded_ramp_show_where_they_lie(rng, steps):
    """Symmetric kernels keep a ramp, whose values are its positions, away from the border."""
    width = degradable_sides(steps, (96, 96))[0]
    ramp = torch.arange(float(width)).expand(3, width, width)
    grid, found = sampling_grid(steps), degrade(ramp, steps, rng)[0, 0]
    inside = slice(4, len(found) - 4)
    expected = grid.first + grid.spacing * torch.arange(len(found))
    assert_close(found[inside], expected[inside])


def test_pixels_of_the_wide_blur_are_seven_and_a_half_pixels_in():
    assert sampling_grid([EVEN]) == (4, 7.5)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Downscale(factor=3), STRIDE, Noise(sigma=0.1)],
        [EVEN],
        [EVEN, Downscale(factor=2)],
        [Downscale(factor=2), EVEN],
        [GaussianBlur(size=2, sigma=0.5), GaussianBlur(size=6, sigma=1.0, stride=5)],
    ],
)
@pytest.mark.parametrize("sides", [(9, 50), (37, 38), (96, 101)])
def test_the_smallest_image_that_can_be_degraded_is_found_again(rng, steps, sides):
    found = degradable_sides(steps, sides)
    degraded = degrade(torch.rand(3, *found, generator=rng), steps, rng)
    assert sides_before(steps, tuple(degraded.shape[1:])) == found
    for axis in (0, 1):
        assert found[axis] >= sides[axis]
        shorter = [n - (axis == k) * total_downscaling(steps) for k, n in enumerate(found)]
        if degraded.shape[1 + axis] > 1:
            assert shorter[axis] < sides[axis]
