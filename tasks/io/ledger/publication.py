"""A publication: an artifact whose files are being written, before any of them is published."""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.io.store import Store


@dataclass
class Publication:
    """An artifact in the making: its files in scratch space, and what its record will say."""

    artifact: str
    fingerprint: str
    facts: dict[str, Any] = field(default_factory=dict)
    """What the body of the record says besides files, times and inputs."""
    spared: set[str] = field(default_factory=set)
    """Paths of files of the former artifact that are another's now, and stay."""
    adopted: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Files that lie there whole as another artifact's, and become this one's too: what its record
    says of each, by path."""
    digest: str | None = None
    """Digest of the content; by default that of the bytes of all files."""
    _files: dict[str, Path] = field(default_factory=dict)
    _store: Store = field(repr=False, kw_only=True)
    _stack: ExitStack = field(repr=False, kw_only=True)

    @property
    def files(self) -> Mapping[str, Path]:
        """The local files that were asked for, by the paths that they will have."""
        return self._files

    def file(self, path: str) -> Path:
        """Return a local file to write; it becomes ``path`` when the publication ends well."""
        self._files[path] = self._stack.enter_context(self._store.scratch())
        return self._files[path]


def describe(file: Path) -> dict[str, Any]:
    """Return the size in bytes and the sha256 of a local file, as records keep them."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": file.stat().st_size}


def is_there(store: Store, path: str, description: Mapping[str, Any]) -> bool:
    """Whether the store has a file at the path that fits its description; reads it whole."""
    try:
        with store.fetched(path) as copy:
            return describe(copy) == description
    except FileNotFoundError:
        return False
