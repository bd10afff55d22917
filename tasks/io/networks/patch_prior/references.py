"""Reference images of a patch prior: one for all, or one for each image by its key or its JSON."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from torch import Tensor

from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images import Limits
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import to_tensor
from tasks.io.images.transparency import without_hidden
from tasks.io.shards.keys import key_complaint
from tasks.io.shards.sides import SideKind
from tasks.io.store import Store

_NAMED = re.compile(r"\{([^{}]*)\}")
"""What stands in braces."""

_LIMITS = Limits(max_pixels=1 << 24, max_bytes=1 << 28)
"""The largest reference: its levels are held on the device as they are."""


@dataclass(frozen=True)
class References:
    """The images that a path names, in which braces stand for what is known of an image."""

    place: str
    """Path or URL."""

    @property
    def is_one(self) -> bool:
        """Whether one reference serves all images."""
        return _NAMED.search(self.place) is None

    def require_pattern(self) -> None:
        """Check that all braces of the path stand for something.

        Raises:
            ConfigurationError: they do not.
        """
        if "" in self._names or set("{}") & set(_NAMED.sub("", self.place)):
            raise ConfigurationError(
                "braces must hold key, or the name of a field of the JSON beside the image, got "
                f"{self.place!r}"
            )

    def digest(self) -> str:
        """Return what changes when a reference does: 64 hex digits.

        It is the sha256 of the file or, of many, that of the names, sizes and versions of all
        files that the path could name.

        Raises:
            ConfigurationError: there is none.
        """
        if self.is_one:
            return hashlib.sha256(self._data(self.place.rpartition("/")[2])).hexdigest()
        found, count = hashlib.sha256(), 0
        pattern = re.compile(".*".join(map(re.escape, _NAMED.split(self.pattern_name)[::2])))
        for entry in self._store.list(""):
            if pattern.fullmatch(entry.path):
                found.update(f"{entry.path}\0{entry.size}\0{entry.version}\n".encode())
                count += 1
        if count == 0:
            raise ConfigurationError(
                f"restore.reference must name images, got {self.place!r}, to which no file fits"
            )
        return found.hexdigest()

    @property
    def pattern_name(self) -> str:
        """What of the path stands below the folder that is known for all images."""
        return self.place[len(self._folder) :].lstrip("/")

    def of(self, key: str, sides: Mapping[SideKind, bytes]) -> Tensor:
        """Return the reference (3, h, w) of an image, float in [0, 1] on the CPU.

        Args:
            key: of the image.
            sides: what stands beside it.

        Raises:
            ImageRefused: it has none, or one that cannot be read.
            ConfigurationError: the one reference of all images is not there, or cannot be read.
        """
        if self.is_one:
            return self.only
        fields = {"key": key} | (_fields(sides) if self._names - {"key"} else {})
        path = _NAMED.sub(lambda found: _text(fields, found[1]), self.pattern_name)
        if (complaint := key_complaint(path)) is not None:
            raise ImageRefused(f"reference {path!r}: {complaint}")
        try:
            return _decoded(self._store, path, self._store.entry(path).version)
        except FileNotFoundError as error:
            raise ImageRefused(f"reference {path!r} is not in {self._folder}") from error
        except ImageRefused as refusal:
            raise ImageRefused(f"reference {path!r}: {refusal}") from refusal

    @cached_property
    def only(self) -> Tensor:
        """The one reference of all images, as ``of`` gives it."""
        name = self.place.rpartition("/")[2]
        try:
            self._data(name)
            return _decoded(self._store, name, self._store.entry(name).version)
        except ImageRefused as refusal:
            raise ConfigurationError(
                f"restore.reference must be an image, got {self.place!r}: {refusal}"
            ) from refusal

    def _data(self, name: str) -> bytes:
        try:
            return self._store.read(name)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise ConfigurationError(
                f"restore.reference must be an image file, got {self.place!r}, which is none; "
                "correct its path"
            ) from error

    @property
    def _names(self) -> set[str]:
        return set(_NAMED.findall(self.place))

    @property
    def _folder(self) -> str:
        """The folder before what is in braces, or that of the one reference."""
        return self.place.partition("{")[0].rpartition("/")[0]

    @cached_property
    def _store(self) -> Store:
        return Store(self._folder or ("/" if self.place.startswith("/") else "."))


@lru_cache(maxsize=4)
def _decoded(store: Store, path: str, _version: str) -> Tensor:
    """Read and decode a reference; the last few are kept while their files do not change."""
    return to_tensor([without_hidden(decode(store.read(path), _LIMITS))])[0]


def _fields(sides: Mapping[SideKind, bytes]) -> dict[str, Any]:
    """Return the fields of the JSON beside an image."""
    if "json" not in sides:
        raise ImageRefused("its reference must be named by JSON beside it, got none")
    fields = json.loads(sides["json"])
    return fields if isinstance(fields, dict) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    """Return what stands for a name in braces."""
    found = fields.get(name)
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise ImageRefused(
            f"its reference must be named by the field {name!r} of the JSON beside it, a text or "
            f"a whole number, got {found!r}"
        )
    return str(found)
