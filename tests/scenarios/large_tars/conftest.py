"""Runs over large tars of tiny images: see ``quick_and_alone``."""

from functools import partial

import pytest
from quick_and_alone import pytest_runtest_protocol
from tars.large_tars import LargeTars

__all__ = ["pytest_runtest_protocol"]


@pytest.fixture(scope="session")
def tars_in(steps, write_images, pixels):
    """Opens the run in a folder, with some options of its corpus and shards.

    Tars above 15 kB are large, and are cut into parts of three images.
    """

    def opened(
        folder, path="in/*.tar", workspace="workspace", corpus=None, shards=None, **sections
    ):
        if not (folder / "in").exists():
            write_images(folder / "natural", {f"n{n}.png": pixels(1000 + n) for n in range(3)})
            (folder / "in").mkdir()
        restored = {"path": f"{folder}/{path}", **(corpus or {})}
        corpora = {"restored": restored, "natural": folder / "natural"}
        options = {"images": 3, "cut_tars_above": 15_000, "max_bad_fraction": 0.9}
        sections = {"enhance": {"alphas": [0]}, "shards": options | (shards or {})}
        return LargeTars(folder, steps(folder / workspace, corpora, **sections))

    return opened


@pytest.fixture
def tars(tmp_path, tars_in):
    """The same in an empty folder of the test."""
    return partial(tars_in, tmp_path)
