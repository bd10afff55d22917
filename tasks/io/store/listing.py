"""Listings: what a file is called and known by, and the order of keys."""

import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

MOST_LINKS = 3
"""Links to folders, one in the other, that a listing follows: a few dozen that name each
other would lead to millions of paths."""

_log = logging.getLogger(__name__)


def walk(folder: Path, start: str) -> Iterator[str]:
    """Paths of files below a local folder that begin with some text; no file is looked at."""
    inside, _, beginning = start.rpartition("/")
    try:
        with os.scandir(folder / inside) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return
    base = f"{inside}/" if inside else ""
    for name, is_folder in found:
        if not name.startswith(beginning):
            continue
        if is_folder:
            yield from (f"{base}{name}/{path}" for path in walk(folder / inside / name, ""))
        else:
            yield f"{base}{name}"


class Found(NamedTuple):
    """A file or folder as a listing tells it, in a fifth of the room that the answer takes.

    ``kind`` is ``file``, ``directory``, ``link`` (to a folder) or ``other``: pipes, devices,
    and links to folders around them.
    """

    name: str
    kind: str
    size: int
    version: str

    @property
    def order(self) -> tuple[str, str]:
        """Folders sort by their name and a slash, files by their name without extension."""
        if self.kind in ("directory", "link"):
            return f"{self.name}/", ""
        return stem(self.name), self.name


def contents(infos: Iterable[dict[str, Any]]) -> list[Found]:
    """What a folder holds, of a listing that is packed as it comes."""
    return [_packed(info) for info in infos]


def scanned(system: Any, folder: str) -> Iterator[dict[str, Any]]:
    """What a folder holds; one file after the other where it is local.

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


def tree(contents_of: Callable[[str], Iterable[Found]], top: str) -> Iterator[tuple[str, Found]]:
    """The files below a folder with their paths, in order; hidden ones are left out.

    Args:
        contents_of: gives what lies right in a folder, in no order.
        top: path of the folder; those of folders end with a slash, but for the root's.
    """
    levels = [(top, 0, _in_order(contents_of(top)))]
    while levels:
        folder, links, inside = levels[-1]
        found = next(inside, None)
        if found is None:
            levels.pop()
            continue
        path = f"{folder}{found.name}"
        links += found.kind == "link"
        if found.kind == "file":
            yield path, found
        elif links <= MOST_LINKS:
            levels.append((f"{path}/", links, _in_order(contents_of(f"{path}/"))))
        else:
            _log.warning("left out %s: %d links lead there", path, links)


def _in_order(inside: Iterable[Found]) -> Iterator[Found]:
    """What lies in a folder, but for what is hidden, no file, or S3's marker of the folder."""
    seen = (
        found
        for found in inside
        if not found.name.startswith(".")
        and found.kind != "other"
        and (found.name or found.kind == "directory")
    )
    return iter(sorted(seen, key=attrgetter("order")))


def _packed(info: dict[str, Any]) -> Found:
    name, info = _name_of(info), _followed(info)
    return Found(name, info["type"], int(info["size"] or 0), version_of(info))


def _name_of(info: dict[str, Any]) -> str:
    """The name of a file or folder in its folder; nothing for a bucket's folder marker."""
    name: str = info["name"]
    if info["type"] == "directory":
        name = name.removesuffix("/")  # one: S3 has folders without a name
    return name.rpartition("/")[2]


def stem(name: str) -> str:
    """A path without its last extension."""
    head, dot, extension = name.rpartition(".")
    return head if dot and "/" not in extension and not head.endswith("/") and head else name


def version_of(info: dict[str, Any]) -> str:
    """Something that changes when the file does: an ETag, or the time of its change."""
    mark = info.get("ETag") or info.get("mtime") or info.get("created") or ""
    return str(mark)


def _followed(info: dict[str, Any]) -> dict[str, Any]:
    """What a local symbolic link points to."""
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
