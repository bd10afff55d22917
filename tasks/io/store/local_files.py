"""Files and folders of this machine's disk: read, listed, written, or refused with a remedy."""

import errno
import io
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError

from tasks.io.errors import AccessRefused, StoreFull, StoreRefused
from tasks.io.store.errors import LOCAL_RIGHTS, not_a_path
from tasks.io.store.ranges import Chunks, Fetch, Slice

_LOCAL_REMEDIES = {
    errno.ENOSPC: "make room there and run again; what is done is kept",
    errno.EDQUOT: "make room there and run again; what is done is kept",
    errno.EROFS: "give a workspace that can be written to",
    errno.EACCES: "give a workspace that this user may write to",
    errno.EPERM: "give a workspace that this user may write to",
    errno.EFBIG: "raise the limit on the size of files there, or make shards smaller",
    errno.ENAMETOOLONG: "give a workspace with a shorter path",
    errno.ENOTDIR: "a file is where a folder must be; move it away",
    errno.ELOOP: "correct the link there, which leads back to itself",
}

_CHUNK = 1 << 20
"""Bytes of a part of a file that are read at once."""

_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
"""How libraries that are written in Rust name an error of the operating system."""


@contextmanager
def permitted(address: str) -> Iterator[None]:
    """Translate errors of a local file or folder that cannot be read for good in the block.

    Args:
        address: what was being read, for the error's text.

    Raises:
        AccessRefused: this user may not read it.
        StoreRefused: no disk takes its path, or a link there leads back to itself.
    """
    try:
        yield
    except PermissionError as error:
        reason = os.strerror(error.errno or errno.EACCES)
        raise AccessRefused(f"{address} was refused: {reason}; {LOCAL_RIGHTS}") from error
    except OSError as error:
        if (refusal := not_a_path(error, address)) is not None:
            raise refusal from error
        raise


@contextmanager
def written(address: str, folder: Path) -> Iterator[None]:
    """Translate errors of writing to a local folder in the block into those below.

    Errors of files that lie elsewhere stay as they are.

    Args:
        address: what was being written, for the errors' texts.
        folder: where it was being written.

    Raises:
        StoreRefused: to repeat it at once would not help; the text says what would. StoreFull,
            if there is no room now.
        OSError: another error, which may pass.
    """
    try:
        yield
    except SafetensorError as error:
        if (number := _SYSTEM_ERROR.search(str(error))) is None:
            raise
        failure = OSError(int(number[1]), os.strerror(int(number[1])))
        raise _refusal(failure, address, folder) or failure from error
    except OSError as error:
        if (refusal := _refusal(error, address, folder)) is not None:
            raise refusal from error
        raise


def _refusal(error: OSError, address: str, folder: Path) -> StoreRefused | None:
    """Return the refusal for an error that is none of the moment; None for any other.

    None also for errors of files that lie elsewhere than in the folder.
    """
    elsewhere = error.filename and not Path(str(error.filename)).is_relative_to(folder)
    if error.errno not in _LOCAL_REMEDIES or elsewhere:
        return None
    remedy = _LOCAL_REMEDIES[error.errno]
    kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreRefused
    return kind(f"{address} cannot be written: {os.strerror(error.errno)}; {remedy}")


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

    def slices(self, slices: Iterable[Slice]) -> Generator[bytes]:
        """Yield pieces of the file in the given order; a piece beyond its end is short."""
        with self.stream() as stream:
            for piece in slices:
                stream.seek(piece.offset)
                yield stream.read(piece.size)

    @contextmanager
    def stream(self, part: Slice | None = None) -> Iterator[BinaryIO]:
        """Give the block a reader of the file, or of a part of it, which then cannot seek."""
        with permitted(str(self.path)):
            opened = self.path.open("rb")
        with opened as stream:
            if part is None:
                yield stream
                return
            stream.seek(part.offset)
            starts = range(0, part.size, _CHUNK)
            chunks = (stream.read(min(_CHUNK, part.size - start)) for start in starts)
            with io.BufferedReader(Chunks(filter(None, chunks)), _CHUNK) as reader:
                yield reader

    @contextmanager
    def ranges(self) -> Iterator[Fetch]:
        """Give the block what reads any range of the file, in any thread."""
        with self.stream() as stream:
            number = stream.fileno()
            yield lambda start, end: os.pread(number, end - start, start)

    def readable(self) -> Path:
        """Return the path, for libraries that open it themselves; it need not be there."""
        with suppress(FileNotFoundError), self.stream():
            return self.path
        return self.path
