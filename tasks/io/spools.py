"""Files in the making on this machine's disk: their names, their durable end, their remains."""

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from tasks.io.processes import is_dead, place

_OURS = "dotpipe-"
"""How they are called; those for a remote store lie in the system's temporary folder."""


def aside_in(folder: Path) -> Path:
    """A name that no other process has in a folder, and that tells whose it is."""
    return folder / f"{_OURS}{place()}-{os.getpid()}-{uuid.uuid4().hex}"


def sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left in a folder."""
    mine = f"{_OURS}{place()}-"
    for aside in folder.glob(f"{mine}*-*"):
        process = aside.name.removeprefix(mine).partition("-")[0]
        if process.isdigit() and is_dead(place(), int(process)):
            with suppress(OSError):  # another user's, or a disk that is read-only now
                aside.unlink()


def move(aside: Path, path: Path) -> None:
    """Give a finished file its place; after a power cut it is there whole, or not at all."""
    make_folder(path.parent)
    _sync(aside)
    aside.replace(path)
    _sync(path.parent)


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
