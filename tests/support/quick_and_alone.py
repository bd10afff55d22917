"""How tests of tiny tasks run: in one thread, without waiting for the disk.

A conftest that imports the hook has the tests below it run so, fixtures included; what
others find afterwards is as it was.
"""

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Run a test with its fixtures in one thread, and sync no file.

    On images of a few hundred pixels threads wait for each other more than they work, and no
    test pulls the plug: syncing hundreds of tiny files would take half of the time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: None)
            return (yield)
    finally:
        torch.set_num_threads(threads)
