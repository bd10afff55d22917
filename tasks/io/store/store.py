"""A folder or bucket under one URL: reading, listing, and writing that is never partial."""

import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO

from fsspec.implementations.local import LocalFileSystem

from tasks.io.machine.threads import side_by_side
from tasks.io.store.access import FROM_ENVIRONMENT, Access, connected, is_s3
from tasks.io.store.atomic import link, move, remove_empty_folders
from tasks.io.store.errors import translated
from tasks.io.store.listing import Cut, Entry, Found, Without, entry_at, found_in, tree
from tasks.io.store.local_files import LocalFile, mode_of, walk
from tasks.io.store.ranges import Fetch, Slice
from tasks.io.store.remote_file import RemoteFile, found_below
from tasks.io.store.s3 import abort_orphans, holds_objects, keeps_versions
from tasks.io.store.spool import PARTIAL, Spool


@dataclass(frozen=True)
class Store:
    """Files below one URL, named by relative paths with forward slashes.

    A file that is published is whole: locally it is written in the spool, synced and renamed;
    elsewhere it is written to this machine's disk, uploaded, and its size is checked. An
    exception in between leaves nothing. (``fs.open(url, "wb")`` would complete a truncated
    upload.)

    Reading a remote file holds two ranges of ``SPAN_BYTES``, or of the largest slice, in
    memory; writing one holds ``PARTS_AT_ONCE`` parts of ``PART_BYTES`` twice, while the
    client sends them (129 MiB were measured).

    Every method may raise StoreRefused where no repetition helps (AccessRefused, where there
    is no right to read), and OSError where one may; requests were repeated then.
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
        """Return the path on this machine's disk, or None where the store is remote."""
        return Path(self._full(path)) if isinstance(self._fs, LocalFileSystem) else None

    def address(self, path: str = "") -> str:
        """Return what a person types to open the file: a local path or a URL."""
        return str(self.local(path) or self._fs.unstrip_protocol(self._full(path)))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at this path."""
        with translated(self.address(path)):
            local = self.local(path)
            found = self._fs.exists(self._full(path)) if local is None else mode_of(local)
            return bool(found)

    def is_folder(self) -> bool:
        """Whether the store itself is there: as a folder, or as a bucket or a prefix with files."""
        with translated(self.address()):
            if is_s3(self.url):
                return holds_objects(self._fs, self._root)
            local = self.local()
            return self._fs.isdir(self._root) if local is None else S_ISDIR(mode_of(local) or 0)

    def entry(self, path: str) -> Entry:
        """Return size and version of one file.

        Raises:
            FileNotFoundError: there is none.
        """
        with translated(self.address(path)):
            return entry_at(self._fs, self._full(path), path)

    def read(self, path: str) -> bytes:
        """Return the whole content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        return self._file(path).read()

    def read_slices(self, path: str, slices: Iterable[Slice]) -> Generator[bytes]:
        """Yield pieces of a file in the given order; a piece beyond its end is short.

        Remote pieces that lie close together come in one request, and the next request
        is under way while this one's pieces are used.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return self._file(path).slices(slices)

    def stream(self, path: str, part: Slice | None = None) -> AbstractContextManager[BinaryIO]:
        """Give the block a reader of a file or of a part of it, which cannot seek.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it was replaced in S3 before the last byte was read.
        """
        return self._file(path).stream(part)

    def ranges(self, path: str) -> AbstractContextManager[Fetch]:
        """Give the block what reads any range of a file, in any thread; errors as of ``stream``."""
        return self._file(path).ranges()

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """Give the block a file on this machine's disk; of a remote one that is there, a copy."""
        file = self._file(path)
        if isinstance(file, LocalFile):
            yield file.readable()
            return
        with self.scratch() as copy:
            file.copy_to(copy)
            yield copy

    def list(
        self, prefix: str, without: Without | None = None, key_of: Cut | None = None
    ) -> Iterator[Entry]:
        """Yield all files below a folder, none if it is not there; hidden ones are left out.

        Folders of which ``without`` says so are left out too, with all that is below them; for
        ``key_of`` see ``Cut``. Links to folders are followed, ``MOST_LINKS`` of them on one
        path, but none to a folder around it. Keys come in the order of strings over the whole
        tree, so two listings merge without sorting. A flat folder of a million files takes 400 MiB.
        """
        for path, found in tree(self._contents, f"{prefix}/" if prefix else "", without, key_of):
            yield Entry(path, found.size, found.version, found.key)

    def files(self, prefix: str) -> dict[str, Entry]:
        """Return the files right in a folder by their paths, hidden ones too: one listing."""
        folder = f"{prefix}/" if prefix else ""
        paths = ((f"{folder}{f.name}", f) for f in self._contents(folder) if f.kind == "file")
        return {path: Entry(path, found.size, found.version) for path, found in paths}

    def names(self, prefix: str, start: str = "") -> Iterator[str]:
        """Yield the paths of all files below a folder, in no order: one listing, none opened.

        Only paths count that go on with ``start``; a folder that is not there holds nothing.
        """
        folder, local = f"{prefix}/" if prefix else "", self.local(prefix)
        if local is not None:
            names = walk(local, start)
        else:
            asked = {"prefix": start} if is_s3(self.url) and start else {}
            names = found_below(self._fs, self._full(prefix), self.address(prefix), start, **asked)
        yield from (f"{folder}{name}" for name in names)

    @contextmanager
    def publish(self, path: str) -> Iterator[Path]:
        """Give the block a local file to write, and publish it if the block ends well.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        with self.scratch() as aside, self.writing(path):
            yield aside
            self.put({path: aside})

    def scratch(self) -> AbstractContextManager[Path]:
        """Give the block a name for a local file, which is gone afterwards unless ``put``."""
        return self._spool().scratch(self.address(PARTIAL))

    def put(self, files: Mapping[str, Path]) -> None:
        """Publish files of ``scratch`` under these paths; called in a block of ``writing``.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        if (root := self.local()) is not None:
            move((aside, root / path) for path, aside in files.items())
        else:
            each = side_by_side if len(files) > 1 else map  # threads cost time too
            [*each(lambda file: self._remote(file[0]).upload(file[1]), files.items())]

    def create(self, path: str, data: bytes) -> bool | None:
        """Write a small file unless there is one already; return whether this call wrote it.

        None means that the store has no conditional writes, and that nothing was written.
        """
        local = self.local(path)
        if local is None:
            return self._remote(path).create(data)
        with self.scratch() as aside, self.writing(path):
            aside.write_bytes(data)
            return link(aside, local)

    def write(self, path: str, data: bytes) -> None:
        """Write a small file whole, in the place of one that is there."""
        with self.publish(path) as aside:
            aside.write_bytes(data)

    def remove(self, path: str) -> None:
        """Remove a file; does nothing if there is none."""
        with suppress(FileNotFoundError), translated(self.address(path)), self.writing(path):
            self._fs.rm_file(self._full(path))

    def keeps_versions(self) -> bool | None:
        """Whether a bucket keeps what is removed as an old version; None if it does not say."""
        return keeps_versions(self._fs, self._root) if is_s3(self.url) else False

    def prune(self) -> None:
        """Remove empty folders of a local disk; only while nobody else writes."""
        root = self.local()
        if root is not None:
            remove_empty_folders(root)

    def clear(self) -> None:
        """Remove all half-written files of a local disk; only while nobody else writes."""
        self._spool().clear()

    def sweep(self) -> None:
        """Remove half-written files of processes that have ended, and old unfinished uploads."""
        self._spool().sweep()
        if is_s3(self.url):
            abort_orphans(self._fs, self._root)

    def writing(self, path: str) -> AbstractContextManager[None]:
        """Translate errors of writing this file in the block: those for good name their remedy."""
        return self._spool().writing(self.address(path))

    def _contents(self, folder: str) -> Sequence[Found]:
        """Return what lies right in a folder, in no order; nothing if it is not there."""
        full, address = self._full(folder), self.address(folder)
        return found_in(self._fs, full, address, is_s3=is_s3(self.url))

    def _file(self, path: str) -> LocalFile | RemoteFile:
        local = self.local(path)
        return self._remote(path) if local is None else LocalFile(local)

    def _remote(self, path: str) -> RemoteFile:
        return RemoteFile(self._fs, self._full(path), self.address(path), is_s3(self.url))

    def _spool(self) -> Spool:
        return Spool(self.local(PARTIAL) or Path(tempfile.gettempdir()), self.local())

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root
