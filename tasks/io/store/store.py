"""A folder or bucket under one URL: reading, listing, and writing that is never partial."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from tasks.io.store.access import FROM_ENVIRONMENT, PART_BYTES, Access, connected, is_s3
from tasks.io.store.atomic import aside_in, link, make_folder, move, sweep
from tasks.io.store.errors import translated, written
from tasks.io.store.listing import Found, contents, scanned, tree, version_of, walk
from tasks.io.store.ranges import SPAN_BYTES, Chunks, Slice, fetch_ahead, spans
from tasks.io.store.s3 import abort_orphans, holds_objects, keeps_versions, pages_of
from tasks.io.store.transfers import Replaced, create, ranged, repeated, upload

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

    Reading a remote file holds two ranges of ``SPAN_BYTES``, or of the largest slice, in
    memory; writing one holds ``PARTS_AT_ONCE`` parts of ``PART_BYTES`` twice, while the
    client sends them (129 MiB were measured).

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
            OSError: it was replaced in S3 before the last byte was read.
        """
        local = self.local(path)
        if local is not None:
            with local.open("rb") as stream:
                yield stream
            return
        entry = self.entry(path)
        size, version = entry.size, (is_s3(self.url) and entry.version) or None
        whole = (
            [Slice(start, min(SPAN_BYTES, size - start))] for start in range(0, size, SPAN_BYTES)
        )
        chunks = (span.data for span in fetch_ahead(self._range(path, version), whole))
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
            self._copy(path, copy)
            yield copy

    def list(self, prefix: str) -> Iterator[Entry]:
        """All files below a folder, none if it is not there; hidden ones are left out.

        Links to folders are followed, ``MOST_LINKS`` of them on one path, but for those to a
        folder around them.

        Their paths without extension come in the order of strings over the whole tree,
        so two listings can be merged without sorting them. Held at a time are the names,
        sizes and versions of all that lies in the folders on the way to one file: a flat
        folder of a million files takes some 400 MiB, as a listing is in another order.
        """
        for path, found in tree(self._contents, f"{prefix}/" if prefix else ""):
            yield Entry(path, found.size, found.version)

    def files(self, prefix: str) -> dict[str, Entry]:
        """The files right in a folder by their paths, hidden ones too: one listing."""
        folder = f"{prefix}/" if prefix else ""
        paths = ((f"{folder}{f.name}", f) for f in self._contents(folder) if f.kind == "file")
        return {path: Entry(path, found.size, found.version) for path, found in paths}

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
            self.put({path: aside})

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

    def put(self, files: Mapping[str, Path]) -> None:
        """Move finished files from ``scratch`` to their places, in a block of ``writing``.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        root = self.local()
        if root is not None:
            move((aside, root / path) for path, aside in files.items())
            return
        parts = {"chunksize": PART_BYTES} if is_s3(self.url) else {}
        for path, aside in files.items():
            upload(self._fs, aside, self._full(path), self.address(path), **parts)

    def create(self, path: str, data: bytes) -> bool | None:
        """Write a small file unless there is one already; whether this call wrote it.

        None means that the store has no conditional writes, and nothing was written.
        """
        local = self.local(path)
        if local is None:
            return create(self._fs, self._full(path), data, self.address(path))
        with self.scratch() as aside, self.writing(path):
            aside.write_bytes(data)
            return link(aside, local)

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

    def keeps_versions(self) -> bool | None:
        """Whether a bucket keeps what is removed as an old version; None if it does not say."""
        return keeps_versions(self._fs, self._root) if is_s3(self.url) else False

    def prune(self) -> None:
        """Remove empty folders of a local disk; only while nobody else writes."""
        root = self.local()
        folders = [] if root is None else [path for path in root.rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):
            with suppress(OSError):  # it is not empty
                folder.rmdir()

    def clear(self) -> None:
        """Remove all half-written files of a local disk; only while nobody else writes."""
        folder = self.local(PARTIAL)
        for aside in folder.glob("*") if folder is not None else ():
            aside.unlink(missing_ok=True)

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

    def _contents(self, folder: str) -> Sequence[Found]:
        """What lies right in a folder, in no order; nothing if it is not there."""
        full = self._full(folder)
        try:
            with translated(self.address(folder)):
                paged = is_s3(self.url)
                return contents(pages_of(self._fs, full) if paged else scanned(self._fs, full))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _copy(self, path: str, copy: Path) -> None:
        """Copy a remote file to this machine's disk, anew where it is replaced meanwhile."""
        for attempts_left in (2, 1, 0):
            try:
                with self.stream(path) as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target, SPAN_BYTES)
                return
            except Replaced:
                if not attempts_left:
                    raise

    def _spool(self) -> Path:
        """Where files are written before they are published."""
        return self.local(PARTIAL) or Path(tempfile.gettempdir())

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _range(self, path: str, version: str | None = None) -> Callable[[int, int], bytes]:
        """Gives the bytes of a remote file from a start to before an end."""
        return ranged(self._fs, self._full(path), self.address(path), version)
