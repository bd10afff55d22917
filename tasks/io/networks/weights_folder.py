"""A folder or bucket that ``dotpipe weights pull`` filled, and files taken from it."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tasks.io.errors import WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.store import Store

MANIFEST = "manifest.json"
"""What a pulled folder holds: for every file its digest, its size and where it is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A file of a pulled folder, as its manifest has it."""

    sha256: str
    size: int
    """Bytes."""
    source: str
    """Where it is from: an address, a hub repository with its commit, or a path."""


def read_manifest(folder: str) -> dict[str, Pulled]:
    """The files of a pulled folder by name; none where it has no manifest yet.

    Raises:
        WeightsMissing: the folder cannot be read, or its manifest not understood.
    """
    store = Store(folder)
    try:
        listed = json.loads(store.read(MANIFEST))
        return {name: Pulled(**entry) for name, entry in listed["files"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WeightsMissing(f"{store.address(MANIFEST)} cannot be read: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsMissing(
            f"{store.address(MANIFEST)} must be what `dotpipe weights pull` wrote, got "
            f"{type(error).__name__}: {error}"
        ) from error


def write_manifest(folder: str, files: Mapping[str, Pulled]) -> None:
    """Say what a pulled folder holds, after it holds it."""
    listed = {"files": {name: asdict(files[name]) for name in sorted(files)}}
    with Store(folder).publish(MANIFEST) as aside:
        aside.write_text(json.dumps(listed, indent=1) + "\n", "utf-8")


def take(name: str, folder: str) -> Path:
    """A file of a pulled folder, on this machine's disk, as the manifest has it.

    One of a bucket is copied once, below torch's hub folder.

    Raises:
        WeightsMissing: the folder lacks it, or has another.
    """
    store = Store(folder)
    entry = read_manifest(folder).get(name)
    if entry is None:
        raise WeightsMissing(f"{store.address(MANIFEST)} must name {name}, but does not")
    local = store.local(name)
    if local is not None:
        return _require_pulled(local, entry, store.address(name))
    copies = _copies_of(folder)
    copy = copies / name
    if not copy.is_file() or digest(copy) != entry.sha256:
        _copy(store, name, Store(str(copies)), entry)
    return copy


def _copy(store: Store, name: str, copies: Store, entry: Pulled) -> None:
    """Copy a file of a bucket; it takes its place when it is whole."""
    address = store.address(name)
    try:
        with copies.publish(name) as aside:
            with store.stream(name) as stream, aside.open("wb") as target:
                shutil.copyfileobj(stream, target)
            _require_pulled(aside, entry, address)
    except OSError as error:
        raise WeightsMissing(
            f"{address} cannot be copied to {copies.address(name)}: {error}"
        ) from error


def _require_pulled(path: Path, entry: Pulled, address: str) -> Path:
    found = digest(path) if path.is_file() else "no file"
    if found != entry.sha256:
        raise WeightsMissing(
            f"{address} must have the sha256 {entry.sha256} that its manifest says, got {found}; "
            "pull it again"
        )
    return path


def _copies_of(folder: str) -> Path:
    """Where the files of a bucket are kept on this machine."""
    return Path(torch.hub.get_dir()) / "dotpipe" / hashlib.sha256(folder.encode()).hexdigest()[:12]
