"""Files and folders of this machine's disk: read, listed, or refused for want of rights."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.io.errors import AccessRefused
from tasks.io.store.errors import LOCAL_RIGHTS
from tasks.io.store.ranges import Slice


@contextmanager
def permitted(address: str) -> Iterator[None]:
    """Translate the error of a local file or folder that this user may not read in the block.

    Args:
        address: what was being read, for the error's text.

    Raises:
        AccessRefused: this user may not read it.
    """
    try:
        yield
    except PermissionError as error:
        reason = os.strerror(error.errno or errno.EACCES)
        raise AccessRefused(f"{address} was refused: {reason}; {LOCAL_RIGHTS}") from error


def mode_of(path: Path) -> int | None:
    """Return the mode of a local file or folder; None if there is none.

    Raises:
        PermissionError: it lies where this user may not look.
    """
    try:
        return path.stat().st_mode
    except PermissionError:
        raise
    except (OSError, ValueError):  # none there, or a name that none can have
        return None


def walk(folder: Path, start: str) -> Iterator[str]:
    """Yield the paths of all files below a local folder that begin with ``start``.

    Paths are relative to the folder, in no order. Only names are read, of no more folders
    than may hold such a path; a folder that is not there holds nothing.
    """
    inside, _, beginning = start.rpartition("/")
    try:
        with permitted(str(folder / inside)), os.scandir(folder / inside) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    base = f"{inside}/" if inside else ""
    for name, is_below in found:
        if not name.startswith(beginning):
            continue
        if is_below:
            yield from (f"{base}{name}/{path}" for path in walk(folder / inside / name, ""))
        else:
            yield f"{base}{name}"


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine's disk, of which nothing is known before it is asked for.

    What reads it raises FileNotFoundError if there is no such file, and AccessRefused if this
    user may not read it.
    """

    path: Path

    def read(self) -> bytes:
        """Return the whole file."""
        with self.stream() as stream:
            return stream.read()

    def slices(self, slices: Iterable[Slice]) -> Iterator[bytes]:
        """Yield pieces of the file in the given order; a piece beyond its end is short."""
        with self.stream() as stream:
            for piece in slices:
                stream.seek(piece.offset)
                yield stream.read(piece.size)

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Give the block a reader of the file."""
        with permitted(str(self.path)):
            opened = self.path.open("rb")
        with opened as stream:
            yield stream

    def readable(self) -> Path:
        """Return the path, for libraries that open it themselves; it need not be there."""
        with suppress(FileNotFoundError), self.stream():
            return self.path
        return self.path
