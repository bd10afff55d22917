"""Random Gaussians and the maps between them."""

import pytest
import torch

from dot_kernels import GaussianMoments, solve_transport


@pytest.fixture
def random_moments(rng):
    """Draws moments with a random mean and a random covariance of the wanted rank."""

    def draw(dimension, rank=None):
        factors = 2 * dimension if rank is None else rank  # twice d: far from singular
        spread = torch.randn(dimension, factors, generator=rng, dtype=torch.float64)
        mean = torch.randn(dimension, generator=rng, dtype=torch.float64)
        count = dimension + 10
        return GaussianMoments(count, mean, spread @ spread.mT / factors * (count - 1))

    return draw


@pytest.fixture
def random_operator(random_moments):
    """Solves for the map between two random Gaussians of latent patches."""

    def solve(channels, size, *, source_rank=None):
        dimension = channels * size**2
        source = random_moments(dimension, source_rank)
        return solve_transport(source, random_moments(dimension), ridge=0.0)

    return solve
