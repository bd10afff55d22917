"""What a block takes, as a clock and Linux tell it."""

import sys
import time

import pytest
import torch

from tasks.direct.costs import Meter


def test_the_time_of_a_block_is_measured():
    with Meter("cpu") as meter:
        time.sleep(0.02)
    assert 0.02 <= meter.seconds < 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count it")
def test_memory_that_a_block_had_and_gave_back_is_counted():
    with Meter("cpu") as meter:
        torch.ones(64 << 20, dtype=torch.uint8)
    if meter.bytes is None:
        pytest.skip("this system does not let a process forget its largest memory")
    assert 60 << 20 <= meter.bytes < 100 << 20
    with Meter("cpu") as idle:
        pass
    assert idle.bytes is not None
    assert idle.bytes < 30 << 20
