"""Files in the making on this machine's disk: their names, their durable end, their remains."""

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
"""How they are called; those for a remote store lie in the system's temporary folder."""

_NAME = re.compile(rf"{_OURS}(?P<place>.+~[0-9a-f]{{8}})-(?P<process>\d+)-[0-9a-f]+")

_AGE_S = 24 * 3600
"""Nothing of ours is written for so long; what is younger may be of a process elsewhere."""


def aside_in(folder: Path) -> Path:
    """A name that no other process has in a folder, and that tells whose it is."""
    return folder / f"{_OURS}{place()}-{os.getpid()}-{uuid.uuid4().hex}"


def sweep(folder: Path) -> None:
    """Remove what dead processes left in a folder.

    Those of this place are known to be dead; those of others, as a container or this
    machine before it was started again, by the age of what they left.
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
    """The time by the clock of a folder's file system, which may be another machine's."""
    probe = aside_in(folder)
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def move(files: Iterable[tuple[Path, Path]]) -> None:
    """Give finished files their places; when this returns, a power cut does not undo it.

    Each folder is synced once, after the last file: of an artifact's files none counts
    before its record.

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
    """Give a finished file a second name unless something has it; whether it was free.

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
    """The same for disks without links; a process that is killed here leaves a part."""
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
