"""The log of a daemon: in files with dates, of which the newest few are kept."""

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.service import dated_log
from flows.service.dated_log import KEPT, log_files, write_log


@pytest.fixture
def written(tmp_path):
    """Writes some pieces as a daemon does, and returns the texts of the files."""

    def write(*pieces, largest=1 << 20):
        reader, writer = os.pipe()
        thread = threading.Thread(target=write_log, args=(reader, tmp_path, "worker", largest))
        thread.start()
        for piece in pieces:
            os.write(writer, piece)
            thread.join(0.05)
        os.close(writer)
        thread.join()
        os.close(reader)
        return [path.read_bytes() for path in log_files(tmp_path, "worker")]

    return write


@pytest.fixture
def clock(monkeypatch):
    """A clock that is a second later at every look."""
    looks = iter(range(10_000))
    form = "2026-11-28T{:02d}-{:02d}-{:02d}"

    def moment():
        seconds = next(looks)
        return form.format(seconds // 3600, seconds // 60 % 60, seconds % 60)

    monkeypatch.setattr(dated_log, "_moment", moment)
    monkeypatch.setattr(dated_log, "_today", lambda: "2026-11-28")


def test_what_comes_is_in_one_file_with_a_date(written, tmp_path):
    assert written(b"a line\nand ", b"another\n", b"the end") == [b"a line\nand another\nthe end"]
    (path,) = log_files(tmp_path, "worker")
    assert len(path.name) == len("worker-2026-11-28T21-07-13.log")


def test_names_have_the_time_in_utc_which_never_goes_back(written, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Etc/GMT+12")
    time.tzset()
    written(b"a line\n")
    monkeypatch.undo()
    time.tzset()
    (path,) = log_files(tmp_path, "worker")
    named = datetime.strptime(path.stem, "worker-%Y-%m-%dT%H-%M-%S").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - named).total_seconds()) < 600


def test_another_file_is_begun_at_a_size_and_at_the_end_of_a_line(written, clock):
    lines = [b"0123456789\n"] * 4
    assert written(*lines, largest=15) == [lines[0] * 2, lines[0] * 2]


def test_another_file_is_begun_on_another_day(written, clock, monkeypatch):
    days = iter(["2026-11-28", "2026-11-29", "2026-11-29"])
    monkeypatch.setattr(dated_log, "_today", lambda: next(days))
    assert written(b"today\n", b"tomorrow\n") == [b"today\n", b"tomorrow\n"]


def test_the_oldest_files_go_and_those_of_others_stay(written, clock, tmp_path):
    other = tmp_path / "server-2020-01-01T00-00-00.log"
    other.touch()
    lines = [f"line {number:03d}\n".encode() for number in range(KEPT + 5)]
    left = written(*lines, largest=1)
    assert left == lines[-KEPT:]
    assert other.exists()


def test_a_disk_that_takes_nothing_does_not_stop_the_daemon(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b"a line\n")
    os.close(writer)
    write_log(reader, Path("/proc/nowhere"), "worker")
    os.close(reader)


def test_a_line_without_end_is_written_all_the_same(written):
    assert b"".join(written(b"x" * 60_000, b"x" * 60_000, b"\n")) == b"x" * 120_000 + b"\n"
