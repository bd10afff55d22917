"""Half-written files: whose they are, when they go, and what a power cut leaves of them."""

import os
import time

import pytest

from tasks.io.store import atomic
from tasks.io.store.atomic import aside_in, move, sweep

DAY_S = 24 * 3600
ELSEWHERE = "host~0123abcd"


def left(folder, name, age=0.0):
    path = folder / name
    path.write_bytes(b"half")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_what_other_places_left_goes_after_a_day(tmp_path):
    old = left(tmp_path, f"dotpipe-{ELSEWHERE}-7-0a", 2 * DAY_S)
    young = left(tmp_path, f"dotpipe-{ELSEWHERE}-7-0b", DAY_S / 2)
    ours = left(tmp_path, aside_in(tmp_path).name, 2 * DAY_S)
    foreign = left(tmp_path, "dotpipe-notes-of-mine", 2 * DAY_S)
    (tmp_path / f"dotpipe-{ELSEWHERE}-7-0c").mkdir()
    sweep(tmp_path)
    assert not old.exists()
    assert {young, ours, foreign} < set(tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 4


def test_ages_are_by_the_clock_of_the_disk(tmp_path, monkeypatch):
    young = left(tmp_path, f"dotpipe-{ELSEWHERE}-7-0a")
    monkeypatch.setattr(time, "time", lambda: 9e9)
    sweep(tmp_path)
    assert young.exists()


def test_a_folder_that_cannot_be_written_to_is_left_as_it_is(tmp_path, monkeypatch):
    def refused(_folder):
        raise PermissionError

    old = left(tmp_path, f"dotpipe-{ELSEWHERE}-7-0a", 2 * DAY_S)
    monkeypatch.setattr(atomic, "_clock", refused)
    sweep(tmp_path)
    assert old.exists()


@pytest.fixture
def synced(monkeypatch):
    paths = []
    monkeypatch.setattr(atomic, "_sync", paths.append)
    return paths


def test_a_file_and_the_folders_that_are_made_for_it_are_synced(tmp_path, synced):
    (tmp_path / "a").mkdir()
    aside = left(tmp_path, "aside")
    move([(aside, tmp_path / "a" / "b" / "c" / "file")])
    inner = tmp_path / "a" / "b"
    assert synced == [aside, inner / "c", inner, tmp_path / "a"]
    synced.clear()
    again = left(tmp_path, "aside")
    move([(again, inner / "c" / "other")])
    assert synced == [again, inner / "c"]


def test_a_folder_is_synced_once_for_all_files_that_come_to_lie_in_it(tmp_path, synced):
    files = [(left(tmp_path, name), tmp_path / f"{name}.tar") for name in ("one", "two", "three")]
    move(files)
    assert synced == [aside for aside, _ in files] + [tmp_path]
