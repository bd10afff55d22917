"""Files in the making on this machine's disk: named, moved to their places, or swept away."""

import errno
import os
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from tasks.io.machine.processes import is_dead, place

_OURS = "dotpipe-"
"""How the names of files in the making begin, also in the system's temporary folder."""

_NAME = re.compile(rf"{_OURS}(?P<place>.+~[0-9a-f]{{8}})-(?P<process>\d+)-[0-9a-f]+")

_AGE_S = 24 * 3600
"""Seconds; no file is being made for so long, but a younger one may be, by a process elsewhere."""


def aside_in(folder: Path) -> Path:
    """Return a new name in a folder, which tells the process that it belongs to."""
    return folder / f"{_OURS}{place()}-{os.getpid()}-{uuid.uuid4().hex}"


def sweep(folder: Path) -> None:
    """Remove from a folder what processes have left there that ended before they were done.

    Whether a process of this place has ended is known. Processes of other places, as another
    container or this machine before it was restarted, have ended if the file is a day old.
    """
    now: float | None = None
    for aside in folder.glob(f"{_OURS}*"):
        known = _NAME.fullmatch(aside.name)
        with suppress(OSError):  # another user's, or a disk that is read-only now
            if known is None:
                continue
            if known["place"] == place():
                left = is_dead(place(), int(known["process"]))
            else:
                now = _clock(folder) if now is None else now
                left = now - aside.stat().st_mtime > _AGE_S
            if left:
                aside.unlink()


def _clock(folder: Path) -> float:
    """Return the time by the clock of a folder's file system, which may be another machine's."""
    probe = aside_in(folder)
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def move(files: Iterable[tuple[Path, Path]]) -> None:
    """Move finished files to their places; when this returns, a power cut does not undo it.

    Each folder is synced once, after the last file. That is enough, as no file of an artifact
    counts before the artifact's record is written.

    Args:
        files: pairs of where a file lies and where it belongs, on one disk.
    """
    folders: set[Path] = set()
    for aside, path in files:
        made = list(takewhile(lambda folder: not folder.exists(), path.parents))
        make_folder(path.parent)
        _sync(aside)
        aside.replace(path)
        folders.update((path.parent, *(folder.parent for folder in made)))
    for folder in sorted(folders, reverse=True):
        _sync(folder)


def link(aside: Path, path: Path) -> bool:
    """Give a finished file a second name unless that is taken; return whether it was free.

    It is done in one step: nobody sees half of the file under its new name.
    """
    make_folder(path.parent)
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        return False
    except OSError:
        return _copy(aside, path)
    return True


def _copy(aside: Path, path: Path) -> bool:
    """Do what ``link`` does on a disk without links, in more than one step."""
    try:
        with path.open("xb") as stream:
            stream.write(aside.read_bytes())
    except FileExistsError:
        return False
    return True


def make_folder(folder: Path) -> None:
    """Make a folder and those above it unless they are there.

    Raises:
        NotADirectoryError: a file is in the place of one of them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(folder)) from error


def remove_empty_folders(root: Path) -> None:
    """Remove all folders below a folder that hold no file; only while nobody else writes."""
    folders = [path for path in root.rglob("*") if path.is_dir()]
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):  # it is not empty
            folder.rmdir()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
