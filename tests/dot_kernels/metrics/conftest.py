"""Features and draws of random images, and statistics of them."""

import pytest
import torch

from dot_kernels.metrics import FeatureStatistics


@pytest.fixture
def draw_features(rng):
    """Features of so many images: a random mixture of Gaussians, away from zero."""

    def draw(n, d=6, shift=0.0):
        mixing = torch.eye(d) + 0.3 * torch.randn(d, d, generator=torch.Generator().manual_seed(d))
        return torch.randn(n, d, generator=rng) @ mixing + shift

    return draw


@pytest.fixture
def draw_draws(rng):
    """Numbers as keys give them: 63 random bits."""
    return lambda n: torch.randint(0, 2**63 - 1, (n,), generator=rng)


@pytest.fixture
def statistics(draw_draws):
    """Statistics of features with random draws, in a sample that keeps all by default."""
    return lambda features, capacity=1 << 30: FeatureStatistics.of(
        features, draw_draws(len(features)), capacity=capacity
    )


@pytest.fixture
def in_parts():
    """Statistics of each part, as shards would have them."""
    return lambda features, draws, cuts, capacity: [
        FeatureStatistics.of(f, d, capacity=capacity)
        for f, d in zip(features.tensor_split(cuts), draws.tensor_split(cuts), strict=True)
    ]
