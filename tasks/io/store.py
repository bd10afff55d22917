"""A folder or bucket under one URL: reading, listing, and writing that is never partial."""

import os
import socket
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from tasks.io.errors import ConfigurationError

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
    """

    url: str
    _fs: Any = field(init=False, repr=False, compare=False)
    _root: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(
                f"{self.url!r} must be a folder, or a URL that fsspec can open: {error}"
            ) from error
        object.__setattr__(self, "_fs", fs)
        object.__setattr__(self, "_root", root.rstrip("/"))

    def local(self, path: str = "") -> Path | None:
        """The path on this machine's disk, or None where the store is remote."""
        return Path(self._full(path)) if isinstance(self._fs, LocalFileSystem) else None

    def address(self, path: str) -> str:
        """What a person types to open the file: a local path or a URL."""
        return str(self.local(path) or self._fs.unstrip_protocol(self._full(path)))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""
        return bool(self._fs.exists(self._full(path)))

    def is_folder(self) -> bool:
        """Whether the store itself is there, as a folder."""
        return bool(self._fs.isdir(self._root))

    def read(self, path: str) -> bytes:
        """The whole file.

        Raises:
            FileNotFoundError: there is none.
        """
        return bytes(self._fs.cat_file(self._full(path)))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """A seekable reader.

        Raises:
            FileNotFoundError: there is none.
        """
        local = self.local(path)
        with local.open("rb") if local else self._fs.open(self._full(path), "rb") as stream:
            yield stream

    @contextmanager
    def fetched(self, path: str) -> Iterator[Path]:
        """The file on this machine's disk; a remote one is a copy that goes afterwards."""
        local = self.local(path)
        if local is not None:
            yield local
            return
        with self.scratch() as copy:
            self._fs.get_file(self._full(path), str(copy))
            yield copy

    def list(self, prefix: str) -> Iterator[Entry]:
        """All files below a folder, none if it is not there; hidden ones are left out.

        Their paths without extension come in the order of strings over the whole tree,
        so two listings can be merged without sorting them, and only the names of the
        folders on the way to one file are held at a time.
        """
        folder = f"{prefix}/" if prefix else ""
        try:
            infos = self._fs.ls(self._full(prefix), detail=True)
        except FileNotFoundError:
            return
        named = [(info["name"].rstrip("/").rpartition("/")[2], _followed(info)) for info in infos]
        for name, info in sorted(named, key=_key_order):
            if name.startswith("."):
                continue
            if info["type"] == "directory":
                yield from self.list(f"{folder}{name}")
            elif info["type"] == "file":
                yield Entry(f"{folder}{name}", int(info["size"]), _version(info))

    @contextmanager
    def publish(self, path: str) -> Iterator[Path]:
        """A local file to write; it takes its place, whole, when the block ends well.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        with self.scratch() as aside:
            yield aside
            self.put(aside, path)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A name for a file that is gone after the block, unless ``put`` has moved it."""
        local = self.local(PARTIAL)
        folder = local or Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        try:
            yield aside
        finally:
            aside.unlink(missing_ok=True)

    def put(self, aside: Path, path: str) -> None:
        """Move a finished file from ``scratch`` to its place.

        Raises:
            OSError: the store took another number of bytes than were written.
        """
        local = self.local(path)
        if local is not None:
            local.parent.mkdir(parents=True, exist_ok=True)
            _sync(aside)
            aside.replace(local)
            _sync(local.parent)
            return
        full, size = self._full(path), aside.stat().st_size
        self._fs.put_file(str(aside), full)
        self._fs.invalidate_cache()
        taken = int(self._fs.info(full)["size"])
        if taken != size:
            self._fs.rm_file(full)
            raise OSError(f"upload of {path} must take {size} bytes, got {taken}; try again")

    def remove(self, path: str) -> None:
        """Remove a file; one that is not there is as good as removed."""
        try:
            self._fs.rm_file(self._full(path))
        except FileNotFoundError:
            return

    def sweep(self) -> None:
        """Remove what dead processes of this machine left half-written."""
        folder = self.local(PARTIAL)
        if folder is None or not folder.is_dir():
            return
        for aside in folder.iterdir():
            host, _, rest = aside.name.rpartition("-")[0].rpartition("-")
            if host == socket.gethostname() and not _is_alive(int(rest)):
                aside.unlink(missing_ok=True)

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _key_order(named: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    """Folders sort by their name and a slash, files by their name without extension."""
    name, info = named
    return (f"{name}/", "") if info["type"] == "directory" else (stem(name), name)


def stem(name: str) -> str:
    """A path without its last extension."""
    head, dot, extension = name.rpartition(".")
    return head if dot and "/" not in extension and not head.endswith("/") and head else name


def _version(info: dict[str, Any]) -> str:
    """Something that changes when the file does: an ETag, or the time of its change."""
    mark = info.get("ETag") or info.get("mtime") or info.get("created") or ""
    return str(mark)


def _followed(info: dict[str, Any]) -> dict[str, Any]:
    """What a local symbolic link points to; a link to a folder around it is left out."""
    if not info.get("islink"):
        return info
    path = Path(info["name"])
    try:
        found, target = path.stat(), path.resolve()
    except OSError:  # it points nowhere, or at itself
        return {**info, "type": "file"}
    if stat.S_ISDIR(found.st_mode):
        around = any(folder.resolve().is_relative_to(target) for folder in path.parents)
        return {**info, "type": "other" if around else "directory"}
    return {**info, "type": "file", "size": found.st_size, "mtime": found.st_mtime}


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
