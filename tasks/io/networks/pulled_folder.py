"""A folder or bucket that ``dotpipe weights pull`` filled, and files taken from it."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch

from tasks.io.errors import WeightsAway, WeightsMissing, can_heal
from tasks.io.networks.digests import digest
from tasks.io.store import Store

MANIFEST = "manifest.json"
"""The file of a pulled folder that says of every other its digest, its size and its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFile:
    """What the manifest of a pulled folder says of one file."""

    sha256: str
    size: int
    """In bytes."""
    source: str
    """Where it was pulled from: an address, a hub repository with its commit, or a path."""


@dataclass(frozen=True)
class PulledFolder:
    """A folder or bucket of pulled weights, to take files from.

    Its manifest is read once, when the first file is wanted. Make a new value to see what has
    been pulled since.
    """

    url: str

    @cached_property
    def manifest(self) -> dict[str, PulledFile]:
        """The files by name; empty where there is no manifest.

        Raises:
            WeightsMissing: the folder cannot be read, or the manifest not understood; WeightsAway,
                if it gives no answer now.
        """
        return read_manifest(self.url)

    def take(self, name: str) -> Path:
        """Return a file's path on this machine's disk; its digest is the manifest's.

        A file of a bucket is copied once, below torch's hub folder.

        Raises:
            WeightsMissing: the manifest does not name it, or the file has another digest, is
                gone, or cannot be copied; WeightsAway, if the folder gives no answer now.
        """
        store = Store(self.url)
        entry = self.manifest.get(name)
        if entry is None:
            raise WeightsMissing(f"{store.address(MANIFEST)} must name {name}, but does not")
        local = store.local(name)
        if local is not None:
            return _require_pulled(local, entry, store.address(name))
        copies = _folder_of_copies(self.url)
        copy = copies / name
        if not copy.is_file() or digest(copy) != entry.sha256:
            _copy(store, name, Store(str(copies)), entry)
        return copy


def read_manifest(folder: str) -> dict[str, PulledFile]:
    """Return the files of a pulled folder or bucket by name; none where it has no manifest.

    Raises:
        WeightsMissing: the folder cannot be read, or the manifest not understood; WeightsAway, if
            it gives no answer now.
    """
    store = Store(folder)
    try:
        listed = json.loads(store.read(MANIFEST))
        return {name: PulledFile(**entry) for name, entry in listed["files"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unread(error)(f"{store.address(MANIFEST)} cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsMissing(
            f"{store.address(MANIFEST)} must be what `dotpipe weights pull` wrote, got "
            f"{type(error).__name__}: {error}"
        ) from error


def write_manifest(folder: str, files: Mapping[str, PulledFile]) -> None:
    """Replace the manifest of a folder or bucket that already holds these files.

    Raises:
        StoreRefused, OSError: it cannot be written.
    """
    listed = {"files": {name: asdict(files[name]) for name in sorted(files)}}
    with Store(folder).publish(MANIFEST) as aside:
        aside.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


def _copy(store: Store, name: str, copies: Store, entry: PulledFile) -> None:
    """Copy a file of a bucket to this machine; the copy is published when it is whole."""
    address = store.address(name)
    try:
        with copies.publish(name) as aside:
            with store.stream(name) as stream, aside.open("wb") as target:
                shutil.copyfileobj(stream, target)
            _require_pulled(aside, entry, address)
    except OSError as error:
        raise _unread(error)(
            f"{address} cannot be copied to {copies.address(name)}: {error}"
        ) from error


def _unread(error: OSError) -> type[WeightsMissing]:
    """Return which error it is that a file cannot be read: WeightsAway if it may be read later."""
    is_away = can_heal(error) and not isinstance(error, FileNotFoundError)
    return WeightsAway if is_away else WeightsMissing


def _require_pulled(path: Path, entry: PulledFile, address: str) -> Path:
    """Return the path, whose file must have the digest that the manifest says."""
    found = digest(path) if path.is_file() else "no file"
    if found != entry.sha256:
        raise WeightsMissing(
            f"{address} must have the sha256 {entry.sha256} that its manifest says, got {found}; "
            "pull it again"
        )
    return path


def _folder_of_copies(url: str) -> Path:
    """Return where this machine keeps copies of a bucket's files."""
    return Path(torch.hub.get_dir()) / "dotpipe" / hashlib.sha256(url.encode()).hexdigest()[:12]
