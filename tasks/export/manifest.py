"""The manifest of an export: what lies at its destination, and from what it was made.

It is a hidden folder of the destination, so that no listing of images takes it for one:

    .dotpipe-export/export.json                    what is exported, from which workspace
    .dotpipe-export/shard-000000=<mark>.json       the files of a shard, all of them written
    .dotpipe-export/shard-000000.json              the same while they are being written

A file that no record names was not written by an export, and is never replaced. The record of
a shard is written before its first file and named by its mark after the last, so this holds
for an export that was killed too.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.io.store import Store

MANIFEST = ".dotpipe-export"
"""Folder of a destination that holds its manifest."""

_ABOUT = f"{MANIFEST}/export.json"


class ExportedFile(BaseModel):
    """A file at the destination."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    """Of the image."""
    size: int | None = None
    """In bytes; None while it is being made, or is still to be."""
    sha256: str = ""


class ShardFiles(BaseModel):
    """The files of one shard at the destination, by their paths there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: dict[str, ExportedFile] = {}


class Manifest:
    """The manifest of one destination, whose records are listed when it is opened.

    Args:
        store: the destination.
        start: with which the names of the only shards begin that are looked for.
    """

    def __init__(self, store: Store, start: str = "") -> None:
        self._store = store
        self._marks: dict[str, list[str]] = {}
        for path in sorted(store.names(MANIFEST, start)):
            name = path.rpartition("/")[2].removesuffix(".json")
            shard, _, mark = name.partition("=")
            if path != _ABOUT:
                self._marks.setdefault(shard, []).append(mark)

    def about(self) -> dict[str, Any]:
        """Return what is exported here, as ``describe`` wrote it; nothing if nothing is."""
        try:
            found = json.loads(self._store.read(_ABOUT))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Write what is exported here, unless it stands there already."""
        if self.about() != facts:
            self._store.write(_ABOUT, json.dumps(facts, indent=1, sort_keys=True).encode())

    def shards(self) -> list[str]:
        """Return the names of the shards of which files may be here, in order."""
        return sorted(self._marks)

    def is_whole(self, shard: str, mark: str) -> bool:
        """Whether all files of a shard are here that were made from just this."""
        return self._marks.get(shard) == [mark]

    def files(self, shard: str) -> dict[str, ExportedFile]:
        """Return the files of a shard that are here, or may be, by their paths."""
        found: dict[str, ExportedFile] = {}
        for mark in self._marks.get(shard, ()):
            try:
                text = self._store.read(_path(shard, mark))
                found |= ShardFiles.model_validate_json(text).files
            except (FileNotFoundError, ValidationError):  # taken away, or damaged
                continue
        return found

    def begin(self, shard: str, files: Mapping[str, ExportedFile]) -> None:
        """Write down which files of a shard may be here from now on, written or not."""
        self._write(shard, "", files)

    def finish(self, shard: str, mark: str, files: Mapping[str, ExportedFile]) -> None:
        """Write down that these files of a shard, and no others, are here in full."""
        self._write(shard, mark, files)

    def forget(self, shard: str) -> None:
        """Remove all records of a shard, of which no file is left."""
        self._remove(shard, self._marks.pop(shard, ()))

    def _write(self, shard: str, mark: str, files: Mapping[str, ExportedFile]) -> None:
        """Write one record of a shard, and then remove all others."""
        text = ShardFiles(files=dict(files)).model_dump_json(indent=1)
        self._store.write(_path(shard, mark), text.encode())
        self._remove(shard, (other for other in self._marks.get(shard, ()) if other != mark))
        self._marks[shard] = [mark]

    def _remove(self, shard: str, marks: Iterable[str]) -> None:
        for mark in marks:
            self._store.remove(_path(shard, mark))


def _path(shard: str, mark: str) -> str:
    return f"{MANIFEST}/{shard}={mark}.json" if mark else f"{MANIFEST}/{shard}.json"
