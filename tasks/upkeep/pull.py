"""Pull the weights that a configuration needs into a folder, for machines without internet."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tasks.config import Config
from tasks.io.errors import ConfigurationError, StoreRefused, WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.networks.pulled_folder import MANIFEST, PulledFile, read_manifest, write_manifest
from tasks.io.store import Store
from tasks.upkeep.wanted_weights import WantedWeights, wanted_weights


class Pulled(NamedTuple):
    """What became of one file that was to be pulled."""

    name: str
    """The file's path in the pulled folder."""
    entry: PulledFile | None
    """What the manifest says of it; None where it could not be pulled."""
    note: str
    """"pulled", "there already", or the sentence that says why it could not be pulled."""


def require_pulled(config: Config) -> None:
    """Check that the folder of pulled weights is one, where the configuration names it.

    Raises:
        ConfigurationError: it has no manifest.
    """
    if config.weights is not None and not Store(config.weights).exists(MANIFEST):
        raise ConfigurationError(
            f"weights must be a folder that `dotpipe weights pull` filled, got {config.weights!r} "
            f"without a {MANIFEST}"
        )


def pull_weights(config: Config, folder: str) -> Iterator[Pulled]:
    """Copy the weights that the configuration's networks need into a folder or bucket.

    It is safe to repeat: files that are there are neither fetched nor written again. A file that
    cannot be pulled does not stop the others.

    Args:
        config: whose codec, restorer, LPIPS and feature network are wanted.
        folder: URL of the folder or bucket. Its manifest is written anew after every file.

    Yields:
        what became of a file, as soon as it is done. Of a network whose files cannot be pulled,
        one file is told.

    Raises:
        WeightsMissing: the folder's manifest cannot be read.
    """
    store = Store(folder)
    for wanted in wanted_weights(config, folder):
        there = read_manifest(folder)
        try:
            if _may_stay(store, wanted, there):
                yield from (Pulled(name, there[name], "there already") for name in wanted.names)
                continue
            for name, path in zip(wanted.names, wanted.obtain(), strict=True):
                there[name] = _publish(store, wanted, name, path, there.get(name))
                write_manifest(folder, there)
                yield Pulled(name, there[name], "pulled")
        except WeightsMissing as error:
            yield Pulled(wanted.names[-1], None, str(error))
        except (OSError, StoreRefused) as error:
            said = f"{store.address('')} must be a folder or bucket to write to, got {error}"
            yield Pulled(wanted.names[-1], None, said)


def _may_stay(store: Store, wanted: WantedWeights, there: Mapping[str, PulledFile]) -> bool:
    """Return whether all files are in the folder, whole, and the ones that are wanted."""
    return all(
        name in there
        and _is_whole(store, name, there[name])
        and wanted.is_current(name, there[name].sha256)
        for name in wanted.names
    )


def _is_whole(store: Store, name: str, entry: PulledFile) -> bool:
    """Return whether a file is as the manifest says: by its digest, in a bucket by its size."""
    local = store.local(name)
    if local is not None:
        return local.is_file() and digest(local) == entry.sha256
    beside = store.list(name.rpartition("/")[0])
    return any(found.path == name and found.size == entry.size for found in beside)


def _publish(
    store: Store, wanted: WantedWeights, name: str, path: Path, before: PulledFile | None
) -> PulledFile:
    """Copy a file into the pulled folder, where it appears when it is whole.

    Args:
        store: the pulled folder.
        wanted: the network's files, one of which this is.
        name: the file's path in the pulled folder.
        path: where it is on this machine's disk.
        before: what the manifest says of a file of this name; None if it has none.

    Raises:
        WeightsMissing: a file from elsewhere has its name there, or it changes meanwhile.
        OSError: it cannot be written.
    """
    sha256 = digest(path)
    source = wanted.source(path, sha256)
    entry = PulledFile(sha256=sha256, size=path.stat().st_size, source=source)
    other = before and before.sha256 != sha256 and before.source != entry.source
    if before and other and wanted.is_named_by_path:
        raise WeightsMissing(
            f"{store.address(name)} must be free for {entry.source}, but has what is from "
            f"{before.source}; pull into another folder"
        )
    with store.publish(name) as aside:
        shutil.copyfile(path, aside)
        if digest(aside) != sha256:
            raise WeightsMissing(f"{path} must not change while it is pulled, but did; pull again")
    return entry
