"""What levels cost: the pass with maps of single pixels against the pass without, and the fit."""

import time

import pytest
import torch
from diffusers import AutoencoderTiny

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    LevelledOperator,
    enhance,
    fit_levels,
    solve_transport,
)
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import level_channels
from dot_kernels.patches import patch_moments


@pytest.fixture(scope="module")
def codec():
    """TAESD's architecture with random weights: it costs the same."""
    return AutoencoderCodec(AutoencoderTiny())


@pytest.fixture
def solved(rng):
    """Solves for the map between two random Gaussians of a dimension."""

    def moments(dimension):
        mixing = torch.randn(dimension, dimension, generator=rng) / dimension**0.5
        return GaussianMoments.of(torch.randn(4 * dimension, dimension, generator=rng) @ mixing)

    return lambda dimension, solve: solve(moments(dimension), moments(dimension))


def test_the_pass_with_levels_takes_at_most_1_15_times_the_pass_without(
    compared, rng, codec, solved
):
    latent = solved(4 * 9, solve_transport)
    levels = {k: solved(n, solve_level) for k, n in enumerate(level_channels(codec))}
    images = torch.rand(2, 3, 256, 256, generator=rng)
    alphas = [0.0, 0.25, 0.5, 0.75, 1.0]
    both = LevelledOperator(latent, levels), latent
    ours, theirs = (lambda op=op: enhance(images, codec, op, alphas) for op in both)
    assert compared(ours, theirs, 7) < 1.15


def test_levels_of_ten_images_are_fitted_within_half_a_minute(rng, codec):
    natural, restored = torch.rand(2, 10, 3, 256, 256, generator=rng)
    start = time.perf_counter()
    latents = [codec.encode(each) for each in (restored, natural)]
    latent = solve_transport(*(patch_moments(each, 3) for each in latents))
    operator = fit_levels(latent, *(each.split(5) for each in latents), codec)
    seconds = time.perf_counter() - start
    print(f"\nten images of 256²: {seconds:.1f} s")
    assert list(operator.levels) == [0, 1, 2, 3]
    assert seconds < 30
