"""A folder or bucket under one URL: reading, listing, and writing that is never partial."""

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from tasks.io.access import FROM_ENVIRONMENT, PART_BYTES, Access, connected, is_s3
from tasks.io.attempts import repeated
from tasks.io.buckets import abort_orphans, holds_objects
from tasks.io.listing import followed, key_order, name_of, version_of, walk
from tasks.io.ranges import SPAN_BYTES, Chunks, Slice, fetch_ahead, spans
from tasks.io.refusals import is_beyond_end, is_contested, is_unsupported, translated, written
from tasks.io.spools import aside_in, make_folder, move, sweep

PARTIAL = ".partial"
"""Folder of files that are being written; nothing in it is ever read."""


class Entry(NamedTuple):
    """A file: its path below the root, its size in bytes, and a mark of its version."""

    path: str
    size: int
    version: str


@dataclass(frozen=True)
class Store:
    """Files below one URL, named by relative paths with forward slashes.

    A file that is published is whole: locally it is written aside, synced and renamed;
    elsewhere it is spooled to disk, uploaded and its size is checked. An exception in
    between leaves nothing. (``fs.open(url, "wb")`` would complete a truncated upload.)

    Reading a remote file holds two ranges of ``SPAN_BYTES`` or of the largest slice,
    writing one ``PARTS_AT_ONCE`` parts of ``PART_BYTES`` in memory.

    Every method may raise StoreRefused where no repetition helps, and OSError where one
    may; requests were repeated then.
    """

    url: str
    access: Access = FROM_ENVIRONMENT
    _fs: Any = field(init=False, repr=False, compare=False)
    _root: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        system, root = connected(self.url, self.access)
        object.__setattr__(self, "_fs", system)
        object.__setattr__(self, "_root", root)

    def local(self, path: str = "") -> Path | None:
        """The path on this machine's disk, or None where the store is remote."""
        return Path(self._full(path)) if isinstance(self._fs, LocalFileSystem) else None

    def address(self, path: str = "") -> str:
        """What a person types to open the file: a local path or a URL."""
        return str(self.local(path) or self._fs.unstrip_protocol(self._full(path)))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        with translated(self.address(path)):
            return bool(self._fs.exists(self._full(path)))

    def is_folder(self) -> bool:
        """Whether the store itself is there, as a folder."""
        with translated(self.address()):
            if is_s3(self.url):
                return holds_objects(self._fs, self._root)
            return bool(self._fs.isdir(self._root))

    def entry(self, path: str) -> Entry:
        """One file.

        Raises:
            FileNotFoundError: there is none.
        """
        with translated(self.address(path)):
            info = self._fs.info(self._full(path))
            if info["type"] == "directory":
                raise FileNotFoundError(path)
            return Entry(path, int(info["size"]), version_of(info))

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        local = self.local(path)
        if local is not None:
            return local.read_bytes()
        with translated(self.address(path)):
            one_request = {"max_concurrency": 1} if is_s3(self.url) else {}
            full = self._full(path)
            return repeated(lambda: bytes(self._fs.cat_file(full, **one_request)))

    def read_slices(self, path: str, slices: Iterable[Slice]) -> Iterator[bytes]:
        """Pieces of a file in the given order; a piece beyond its end is short.

        Remote pieces that lie close together come in one request, and the next request
        is under way while this one's pieces are used.

        Raises:
            FileNotFoundError: there is no such file.
        """
        local = self.local(path)
        if local is not None:
            with local.open("rb") as stream:
                for piece in slices:
                    stream.seek(piece.offset)
                    yield stream.read(piece.size)
            return
        for span in fetch_ahead(self._range(path), spans(slices)):
            for piece in span.slices:
                first = piece.offset - span.start
                yield span.data[first : first + piece.size]

    @contextmanager
    def stream(self, path: str) -> Iterator[BinaryIO]:
        """A reader from the first byte to the last, which cannot seek.

        Raises:
            FileNotFoundError: there is no such file.
        """
        local = self.local(path)
        if local is not None:
            with local.open("rb") as stream:
                yield stream
            return
        size = self.entry(path).size
        whole = (
            [Slice(start, min(SPAN_BYTES, size - start))] for start in range(0, size, SPAN_BYTES)
        )
        chunks = (span.data for span in fetch_ahead(self._range(path), whole))
        with io.BufferedReader(Chunks(chunks), SPAN_BYTES) as reader:
            yield reader

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """The file on this machine's disk; a remote one is a copy that goes afterwards."""
        local = self.local(path)
        if local is not None:
            yield local
            return
        with self.scratch() as copy:
            with self.stream(path) as source, copy.open("wb") as target:
                while chunk := source.read(SPAN_BYTES):
                    target.write(chunk)
            yield copy

    def list(self, prefix: str) -> Iterator[Entry]:
        """All files below a folder, none if it is not there; hidden ones are left out.

        Their paths without extension come in the order of strings over the whole tree,
        so two listings can be merged without sorting them, and only the names of the
        folders on the way to one file are held at a time.
        """
        folder = f"{prefix}/" if prefix else ""
        try:
            with translated(self.address(prefix)):
                infos = self._fs.ls(self._full(prefix), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        named = [(name_of(info), followed(info)) for info in infos]
        for name, info in sorted(named, key=key_order):
            if not name or name.startswith("."):
                continue
            if info["type"] == "directory":
                yield from self.list(f"{folder}{name}")
            elif info["type"] == "file":
                yield Entry(f"{folder}{name}", int(info["size"]), version_of(info))

    def names(self, prefix: str, start: str = "") -> Iterator[str]:
        """The paths of all files below a folder, in no order: one listing, nothing opened.

        Args:
            prefix: the folder; one that is not there holds nothing.
            start: only paths that continue the folder's with this.
        """
        local = self.local(prefix)
        folder = f"{prefix}/" if prefix else ""
        if local is not None:
            yield from (f"{folder}{name}" for name in walk(local, start))
            return
        try:
            with translated(self.address(prefix)):
                asked = {"prefix": start} if is_s3(self.url) and start else {}
                found = self._fs.find(self._full(prefix), **asked)
        except FileNotFoundError:
            return
        below = len(self._root) + 1 if self._root else 0
        paths = (full[below:] for full in found if not full.endswith("/"))
        yield from (path for path in paths if path.startswith(f"{folder}{start}"))

    @contextmanager
    def publish(self, path: str) -> Iterator[Path]:
        """A local file to write; it takes its place, whole, when the block ends well.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        with self.scratch() as aside, self.writing(path):
            yield aside
            self.put(aside, path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A name for a file that is gone after the block, unless ``put`` has moved it."""
        folder = self._spool()
        with self.writing(PARTIAL):
            make_folder(folder)
        aside = aside_in(folder)
        try:
            yield aside
        finally:
            with suppress(OSError):  # gone already, or a disk that takes nothing any more
                aside.unlink()

    def put(self, aside: Path, path: str) -> None:
        """Move a finished file from ``scratch`` to its place.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        local = self.local(path)
        if local is not None:
            with self.writing(path):
                move(aside, local)
            return
        full, size = self._full(path), aside.stat().st_size
        with translated(self.address(path)):
            parts = {"chunksize": PART_BYTES} if is_s3(self.url) else {}
            self._fs.put_file(str(aside), full, **parts)
            self._fs.invalidate_cache()
            taken = int(self._fs.info(full)["size"])
            if taken != size:
                self._fs.rm_file(full)
                raise OSError(f"upload of {path} must take {size} bytes, got {taken}; try again")

    def create(self, path: str, data: bytes) -> bool | None:
        """Write a small file unless there is one already; whether this call wrote it.

        None means that the store has no conditional writes, and nothing was written.
        """
        local = self.local(path)
        try:
            if local is not None:
                with self.writing(path):
                    make_folder(local.parent)
                    with local.open("xb") as stream:
                        stream.write(data)
            else:
                with translated(self.address(path)):
                    self._fs.pipe_file(self._full(path), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if is_contested(error):
                return False
            if is_unsupported(error):
                return None
            raise
        return True

    def write(self, path: str, data: bytes) -> None:
        """Write a small file whole, over one that is there."""
        with self.publish(path) as aside:
            aside.write_bytes(data)

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is as good as removed."""
        try:
            with translated(self.address(path)), self.writing(path):
                self._fs.rm_file(self._full(path))
        except FileNotFoundError:
            return

    def prune(self) -> None:
        """Remove empty folders of a local disk; only while nobody else writes."""
        root = self.local()
        folders = [] if root is None else [path for path in root.rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def sweep(self) -> None:
        """Remove what dead processes left half-written: files of this machine, old uploads."""
        sweep(self._spool())
        if is_s3(self.url):
            abort_orphans(self._fs, self._root)

    def writing(self, path: str) -> AbstractContextManager[None]:
        """Errors of writing what becomes a file in the block, those for good with their remedy."""
        root = self.local()
        if root is not None:
            return written(self.address(path), root)
        return written(f"{self._spool()}, where {self.address(path)} is made,", self._spool())

    def _spool(self) -> Path:
        """Where files are written before they are published."""
        return self.local(PARTIAL) or Path(tempfile.gettempdir())

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _range(self, path: str) -> Callable[[int, int], bytes]:
        """Gives the bytes of a remote file from a start to before an end."""
        full = self._full(path)

        def fetch(start: int, end: int) -> bytes:
            try:
                with translated(self.address(path)):
                    return repeated(lambda: bytes(self._fs.cat_file(full, start=start, end=end)))
            except OSError as error:
                if is_beyond_end(error):
                    return b""
                raise

        return fetch
