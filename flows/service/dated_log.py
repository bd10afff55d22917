"""The log of a daemon: what it prints comes in, and goes into dated files, of which few are kept.

This runs as a process of its own, since a file that a daemon has open cannot be put aside. It needs
nothing but Python's library, and ends when the last process has closed the other end of the pipe.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

KEPT = 10
"""Files that are kept of each daemon."""

LARGEST = 10 << 20
"""Bytes after which another file is begun; it is begun on another day of UTC, too."""

_AT_ONCE = 1 << 16


def log_files(folder: Path, name: str) -> list[Path]:
    """Return the log files of a daemon, the newest last: their names have the time in UTC."""
    return sorted(folder.glob(f"{name}-????-??-??T??-??-??.log"))


def write_log(source: int, folder: Path, name: str, largest: int = LARGEST) -> None:
    """Write what comes until its end; what a full disk does not take is dropped.

    Args:
        source: file descriptor to read from.
        folder: of the files.
        name: of the daemon, with which their names begin.
        largest: bytes after which another file is begun.
    """
    path = _new(folder, name)
    for piece in _pieces(source):
        if path.exists() and (path.stat().st_size > largest or _day(path, name) != _today()):
            path = _new(folder, name)
        with suppress(OSError), path.open("ab") as file:
            file.write(piece)


def _pieces(source: int) -> Iterator[bytes]:
    """Yield what comes, cut at ends of lines where that is possible."""
    rest = b""
    while chunk := os.read(source, _AT_ONCE):
        whole, end, rest = (rest + chunk).rpartition(b"\n")
        if end or len(rest) > _AT_ONCE:
            yield whole + end or rest
            rest = rest if end else b""
    if rest:
        yield rest


def _new(folder: Path, name: str) -> Path:
    """Return the path of a new file, and remove the oldest ones."""
    while (path := folder / f"{name}-{_moment()}.log").exists():
        time.sleep(0.1)
    for old in log_files(folder, name)[: -(KEPT - 1)]:
        old.unlink(missing_ok=True)
    with suppress(OSError):
        path.touch()
    return path


def _moment() -> str:
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())


def _day(path: Path, name: str) -> str:
    return path.name.removeprefix(f"{name}-")[:10]


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


if __name__ == "__main__":
    write_log(0, Path(sys.argv[1]), sys.argv[2])
