"""Files of a remote store: one read, copied to this machine's disk, or written; all listed."""

import io
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tasks.io.store.access import PART_BYTES
from tasks.io.store.errors import translated
from tasks.io.store.listing import entry_at
from tasks.io.store.ranges import SPAN_BYTES, Chunks, Fetch, Slice, fetch_ahead, spans
from tasks.io.store.transfers import Replaced, create, ranged, repeated, upload

_COPIES = 3
"""Attempts to copy a file that is replaced while it is copied."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a remote store, of which nothing is known before it is asked for.

    What reads it raises FileNotFoundError if there is no such file.
    """

    system: Any
    """The file system of fsspec."""
    full: str
    """The file's path there."""
    address: str
    """What errors call the file."""
    is_s3: bool

    def read(self) -> bytes:
        """Return the whole file, asked for in one request."""
        one_request = {"max_concurrency": 1} if self.is_s3 else {}
        with translated(self.address):
            return repeated(lambda: bytes(self.system.cat_file(self.full, **one_request)))

    def slices(self, slices: Iterable[Slice]) -> Generator[bytes]:
        """Yield pieces of the file in the given order; a piece beyond its end is short."""
        for span in fetch_ahead(self._ranges(), spans(slices)):
            for piece in span.slices:
                first = piece.offset - span.start
                yield span.data[first : first + piece.size]

    @contextmanager
    def stream(self, part: Slice | None = None) -> Iterator[BinaryIO]:
        """Give the block a reader of the file or of a part of it, which cannot seek.

        Raises:
            Replaced: the file was replaced in S3 before the last byte was read.
        """
        size, version = self._size_and_version()
        first, end = (0, size) if part is None else (part.offset, part.offset + part.size)
        end = min(end, size)
        pieces = (
            [Slice(start, min(SPAN_BYTES, end - start))] for start in range(first, end, SPAN_BYTES)
        )
        chunks = (span.data for span in fetch_ahead(self._ranges(version), pieces))
        with io.BufferedReader(Chunks(chunks), SPAN_BYTES) as reader:
            yield reader

    @contextmanager
    def ranges(self) -> Iterator[Fetch]:
        """Give the block what reads any range of the file, in any thread.

        What it gives raises ``Replaced`` once the file was replaced in S3.
        """
        yield self._ranges(self._size_and_version()[1])

    def _size_and_version(self) -> tuple[int, str | None]:
        """Return how many bytes the file has, and its ETag in S3; elsewhere None."""
        with translated(self.address):
            entry = entry_at(self.system, self.full, self.address)
        return entry.size, (self.is_s3 and entry.version) or None

    def copy_to(self, copy: Path) -> None:
        """Copy the file to this machine's disk, again from its start where it is replaced.

        Raises:
            Replaced: it was replaced each time.
        """
        for attempt in range(1, _COPIES + 1):
            try:
                with self.stream() as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target, SPAN_BYTES)
                return
            except Replaced:
                if attempt == _COPIES:
                    raise

    def upload(self, aside: Path) -> None:
        """Write the file whole, from a local one.

        Raises:
            OSError: the store took another number of bytes than were sent.
        """
        parts = {"chunksize": PART_BYTES} if self.is_s3 else {}
        upload(self.system, aside, self.full, self.address, **parts)

    def create(self, data: bytes) -> bool | None:
        """Write the file unless there is one; return whether this call wrote it.

        None means that the store has no conditional writes, and that nothing was written.
        """
        return create(self.system, self.full, data, self.address)

    def _ranges(self, version: str | None = None) -> Fetch:
        """Return a function that gives the file's bytes from a start to before an end."""
        return ranged(self.system, self.full, self.address, version)


def found_below(system: Any, full: str, address: str, start: str, **asked: Any) -> Iterator[str]:
    """Yield what ``local_files.walk`` does of a remote folder, by one listing.

    Args:
        system: a file system of fsspec.
        full: the folder's path there.
        address: the folder, for errors.
        start: only paths that begin with this.
        asked: further arguments of the file system's ``find``.
    """
    try:
        with translated(address):
            found = system.find(full, **asked)
    except FileNotFoundError:
        return
    base = f"{full}/" if full else ""
    whole = (path for path in found if path.startswith(f"{base}{start}"))
    yield from (path.removeprefix(base) for path in whole if not path.endswith("/"))
