"""Paths of the command line: how they are read, and what is said where they cannot be used."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer

from tasks.io.errors import ConfigurationError


def given_path(text: str | Path) -> Path:
    """Return a path as it was given on the command line.

    Raises:
        ConfigurationError: it is empty, as where a shell's variable is not set, has a zero
            byte, or is longer than the disk takes.
    """
    if not str(text) or "\0" in str(text):
        raise ConfigurationError(
            f"a path must not be empty or hold a zero byte, got {str(text)!r}; `.` is this folder"
        )
    path = Path(text)
    with usable(path, "a path must be one that the disk takes"):
        try:
            path.stat()
        except OSError as error:  # others are told where the path is used
            if error.errno == errno.ENAMETOOLONG:
                raise
    return path


def given_place(text: str) -> str:
    """Return a folder or URL as it was given on the command line.

    Raises:
        ConfigurationError: it is empty, has a zero byte, or is longer than the disk takes.
    """
    if "://" not in text:
        given_path(text)
    return text


@contextmanager
def usable(path: Path, rule: str) -> Iterator[None]:
    """Translate errors of a disk in the block, which makes a file or folder.

    Args:
        path: as it was given.
        rule: what must hold of it, up to its "got".

    Raises:
        ConfigurationError: the disk refuses the path, or to write there.
    """
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{rule}, got {str(path)!r} ({error.strerror or error}); name another"
        ) from error


def require_writable(path: Path, rule: str) -> None:
    """Check that a file can be written, before minutes of work; nothing of it stays.

    Args:
        path: of the file, as it was given.
        rule: what must hold of it, up to its "got".

    Raises:
        ConfigurationError: it is a folder, or in none that can be written to.
    """
    with usable(path, rule):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with TemporaryFile(dir=path.parent):
            pass


ConfigPath = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG", parser=given_path, help="YAML file; `dotpipe init` writes one."
    ),
]
