"""What every test may ask for."""

import pytest
import torch


@pytest.fixture
def rng() -> torch.Generator:
    """The only source of randomness in a test."""
    return torch.Generator().manual_seed(20230604)
