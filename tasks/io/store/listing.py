"""Listings of folders: what is found there, and in which order."""

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from tasks.io.letters import compose, composed
from tasks.io.store.errors import translated
from tasks.io.store.s3 import pages_of

MOST_LINKS = 3
"""Links to folders that a listing follows on one path: a few dozen links that name each other
would lead to millions of paths."""

_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A file: its path below the root, its size in bytes, and a mark of its version."""

    path: str
    size: int
    version: str
    """Changes when the file does, but in stores that tell nothing of the kind; then empty."""
    key: str = ""
    """Only in a listing in order: the path without extension, in composed letters where they
    make no name equal to another of its folder."""


def entry_at(system: Any, full: str, path: str) -> Entry:
    """Return the entry of one file.

    Args:
        system: a file system of fsspec.
        full: the file's path there.
        path: what the entry shall call it.

    Raises:
        FileNotFoundError: there is no such file, or a folder in its place.
    """
    try:
        info = system.info(full)
    except NotADirectoryError as error:
        raise FileNotFoundError(path) from error
    if info["type"] == "directory":
        raise FileNotFoundError(path)
    return Entry(path, int(info["size"]), version_of(info))


class Found(NamedTuple):
    """A file or folder as a listing tells it, in a fifth of the room that the answer takes.

    ``kind`` is ``file``, ``directory``, ``link`` (to a folder) or ``other``: pipes, devices,
    and links to folders around them.
    """

    name: str
    kind: str
    size: int
    version: str
    form: str = ""
    """The key in composed letters, where that is another; else empty."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or a link to one."""
        return self.kind in ("directory", "link")

    @property
    def key(self) -> str:
        """What it is sorted by: a folder's name, or a file's without extension."""
        return self.form or (self.name if self.is_folder else stem(self.name))

    @property
    def order(self) -> tuple[str, str]:
        """Its place among the others: a folder's key and a slash, or a file's key and its name."""
        return (f"{self.key}/", "") if self.is_folder else (self.key, self.name)


def found_in(system: Any, full: str, address: str, *, is_s3: bool) -> list[Found]:
    """Return what lies right in a folder, in no order; nothing if it is not there.

    Args:
        system: a file system of fsspec.
        full: the folder's path there.
        address: the folder, for errors.
        is_s3: whether the file system is S3's, which is asked page by page.
    """
    try:
        with translated(address):
            if is_s3:
                return contents(pages_of(system, full))
            found = contents(_scanned(system, full))
    except (FileNotFoundError, NotADirectoryError):
        return []
    if all(each.name for each in found):
        return found
    # Asked for a folder without a name, fsspec lists the one around it again.
    _log.warning("left out what has no name in %s: only of S3 it can be listed", address)
    return [each for each in found if each.name]


def contents(infos: Iterable[dict[str, Any]]) -> list[Found]:
    """Return what a folder holds; fsspec's answers are packed one by one as they come."""
    return [_packed(info) for info in infos]


def _scanned(system: Any, folder: str) -> Iterator[dict[str, Any]]:
    """Yield fsspec's answers on what lies in a folder; one by one if it is local.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not isinstance(system, LocalFileSystem):
        yield from system.ls(folder, detail=True)
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                yield system.info(entry)


Without = Callable[[str, Sequence[Found]], bool]
"""Whether a listing leaves a folder out: takes its path, and what lies right in it."""

Cut = Callable[[str], str]
"""Makes the last part of a file's key of its name without the extension."""

Contents = Callable[[str], Sequence[Found]]
"""Gives what lies right in a folder, by its path, in no order."""


def tree(
    contents_of: Contents, top: str, without: Without | None = None, key_of: Cut | None = None
) -> Iterator[tuple[str, Found]]:
    """Yield the files below a folder, but hidden ones, with paths and whole keys, in their order.

    Args:
        contents_of: see ``Contents``.
        top: path of the folder; those of folders end with a slash, but for the root's.
        without: asked of every folder below; None leaves no folder out.
        key_of: see ``Cut``; None takes the name.
    """
    levels = [(top, compose(top), 0, _in_order(contents_of(top), key_of))]
    while levels:
        folder, keys, links, inside = levels[-1]
        found = next(inside, None)
        if found is None:
            levels.pop()
            continue
        path, key = f"{folder}{found.name}", f"{keys}{found.key}"
        links += found.kind == "link"
        if found.kind == "file":
            yield path, found._replace(form=key)
        elif links <= MOST_LINKS:
            contents = contents_of(f"{path}/")
            if without is None or not without(path, contents):
                levels.append((f"{path}/", f"{key}/", links, _in_order(contents, key_of)))
        else:
            _log.warning("left out %s: %d links lead there", path, links)


def _in_order(inside: Iterable[Found], key_of: Cut | None) -> Iterator[Found]:
    """Return what lies in a folder, in order of keys, each with its own; see ``tree``.

    What is hidden, neither file nor folder, or S3's marker of the folder itself is left out.
    """
    seen = [
        found
        for found in inside
        if not found.name.startswith(".")
        and found.kind != "other"
        and (found.name or found.kind == "directory")
    ]
    keyed = _composed(seen)
    if key_of is not None:
        keyed = [f if f.is_folder else f._replace(form=key_of(f.key)) for f in keyed]
    return iter(sorted(keyed, key=attrgetter("order")))


def _composed(inside: Sequence[Found]) -> Sequence[Found]:
    """Return what lies in a folder with composed keys, except where two would become equal."""
    if all(found.name.isascii() for found in inside):
        return inside
    folders = composed({found.key for found in inside if found.is_folder})
    files = composed({found.key for found in inside if not found.is_folder})
    forms = ((files, folders)[found.is_folder].get(found.key, "") for found in inside)
    return [found._replace(form=form) for found, form in zip(inside, forms, strict=True)]


def _packed(info: dict[str, Any]) -> Found:
    name, info = _name_of(info), _followed(info)
    return Found(name, info["type"], int(info["size"] or 0), version_of(info))


def _name_of(info: dict[str, Any]) -> str:
    """Return the name of a file or folder in its folder; empty for a bucket's folder marker."""
    name: str = info["name"]
    if info["type"] == "directory":
        name = name.removesuffix("/")  # one: S3 has folders without a name
    return name.rpartition("/")[2]


def stem(name: str) -> str:
    """Return a path without its last extension; a hidden file's name is no extension."""
    head, dot, extension = name.rpartition(".")
    return head if dot and "/" not in extension and not head.endswith("/") and head else name


def version_of(info: dict[str, Any]) -> str:
    """Return what changes when a file does: its ETag or time of change; empty without either."""
    mark = info.get("ETag") or info.get("mtime") or info.get("created") or ""
    return str(mark)


def _followed(info: dict[str, Any]) -> dict[str, Any]:
    """Return fsspec's answer with type, size and time of what a local symbolic link points to."""
    if not info.get("islink"):
        return info
    path = Path(info["name"])
    try:
        found, target = path.stat(), path.resolve()
    except OSError:  # it points nowhere, or at itself
        return {**info, "type": "file"}
    if stat.S_ISDIR(found.st_mode):
        around = any(folder.resolve().is_relative_to(target) for folder in path.parents)
        return {**info, "type": "other" if around else "link"}
    kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    return {**info, "type": kind, "size": found.st_size, "mtime": found.st_mtime}
