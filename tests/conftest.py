"""What every test may ask for."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture
def rng() -> torch.Generator:
    """The only source of randomness in a test."""
    return torch.Generator().manual_seed(20230604)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Photographs and weights that are no part of the project; skips where they are not."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DOTPIPE_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; DOTPIPE_TEST_DATA names the folder")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]
