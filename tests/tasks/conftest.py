"""Tasks are tested on tiny images: see ``quick_and_alone``."""

import pytest
from quick_and_alone import pytest_runtest_protocol

from tasks.io.networks.batches import MEMORY_LIMITS

__all__ = ["pytest_runtest_protocol"]


@pytest.fixture
def memory_limits():
    """What this process has learned of its devices' memory: nothing, and again after the test."""
    MEMORY_LIMITS.forget()
    yield MEMORY_LIMITS
    MEMORY_LIMITS.forget()
