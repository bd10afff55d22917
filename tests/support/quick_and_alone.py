"""How tests of tiny tasks run: in one thread, without waiting for the disk.

A conftest that imports the hook has the tests below it run so, fixtures included; what
others find afterwards is as it was.
"""

import os
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Run a test with its fixtures in one thread of OpenMP, and sync no file.

    On images of a few hundred pixels threads wait for each other more than they work, and no
    test pulls the plug: syncing hundreds of tiny files would take half of the time.

    Not by ``torch.set_num_threads``, which cannot be undone: with whatever number it was
    called once, torch's matrix library works otherwise in all threads to come, and the last
    digits of later tests would be others than those of processes that never called it.
    """
    with threadpool_limits(1, user_api="openmp"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        return (yield)
