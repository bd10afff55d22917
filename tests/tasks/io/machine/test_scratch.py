"""Arrays on disk: numbers that stay, memory that is given back, files that end with them."""

import gc
from pathlib import Path

import numpy as np
import pytest

from tasks.io.machine.scratch import let_go, on_disk, scratch_array


def resident(kind):
    """KiB of this process in memory: RssAnon or RssFile."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def test_numbers_stay_when_the_memory_is_given_back():
    array = scratch_array((3000, 1000, 3), np.uint8)
    assert not array.any()
    array[:] = np.arange(3, dtype=np.uint8)
    held = resident("RssFile")
    let_go(array[10:])  # a view will do
    assert held - resident("RssFile") > 8000
    assert (array == np.arange(3)).all()


def test_an_array_on_disk_has_the_numbers_of_another(rng):
    numbers = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    np.testing.assert_array_equal(on_disk(numbers), numbers)


def test_letting_go_of_any_other_array_does_nothing():
    array = np.ones(3)
    let_go(array)
    assert array.sum() == 3


def test_the_file_has_no_name_and_ends_with_the_array(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch_array((100, 100), np.uint16)
    assert list(tmp_path.iterdir()) == []
    del array
    gc.collect()
    mapped = Path("/proc/self/maps").read_text("utf-8")
    assert str(tmp_path) not in mapped


def test_a_disk_without_room_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(OSError):  # noqa: PT011 - its text is the system's
        scratch_array((1 << 50,), np.uint8)
