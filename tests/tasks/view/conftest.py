"""A finished run to look at."""

import pytest

from tasks.view.viewed import Viewed


@pytest.fixture(scope="session")
def viewed(finished):
    """What there is to look at of the whole run."""
    return Viewed.of(finished.config)
