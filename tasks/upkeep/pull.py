"""Pull the weights that a configuration needs into a folder, for machines without internet."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tasks.config import Config
from tasks.io.errors import ConfigurationError, StoreRefused, WeightsMissing
from tasks.io.networks.codecs import Autoencoder, locate_codec, pulled_codec
from tasks.io.networks.digests import digest
from tasks.io.networks.extractors import fetch_extractor
from tasks.io.networks.perceptual import fetch_lpips, lpips_file
from tasks.io.networks.restorers import SpandrelCheckpoint, locate_checkpoint, pulled_checkpoint
from tasks.io.networks.weights import FILES, WeightFile, find, pulled_name
from tasks.io.networks.weights_folder import MANIFEST, Pulled, read_manifest, write_manifest
from tasks.io.store import Store


class Taken(NamedTuple):
    """What became of one file."""

    name: str
    entry: Pulled | None
    """None where it could not be had."""
    note: str
    """"pulled", "there already", or the sentence that says why it could not be had."""


class Wanted(NamedTuple):
    """Files that are had together or not at all."""

    names: tuple[str, ...]
    """In the pulled folder."""
    obtain: Callable[[], tuple[Path, ...]]
    """Their paths on this machine's disk; fetches them if need be, or raises WeightsMissing."""
    source: Callable[[Path, str], str]
    """Where a file is from, by its path and digest."""
    is_current: Callable[[int, str], bool]
    """Whether the file of this number may stay when its digest is this."""
    is_named_by_path: bool = False
    """Then files from elsewhere may have the same name."""


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


def pull_weights(config: Config, folder: str) -> Iterator[Taken]:
    """Copy what the configuration's networks need; safe to repeat, nothing is had twice.

    Args:
        config: whose codec, restorer, LPIPS and feature network are wanted.
        folder: or bucket; its manifest is written anew after every file.

    Yields:
        every file as it is done; those that cannot be had do not stop the others.

    Raises:
        WeightsMissing: the folder's manifest is not one.
    """
    store = Store(folder)
    for wanted in wanted_weights(config, folder):
        there = read_manifest(folder)
        try:
            if _may_stay(store, wanted, there):
                yield from (Taken(name, there[name], "there already") for name in wanted.names)
                continue
            for name, path in zip(wanted.names, wanted.obtain(), strict=True):
                there[name] = _publish(store, wanted, name, path, there.get(name))
                write_manifest(folder, there)
                yield Taken(name, there[name], "pulled")
        except WeightsMissing as error:
            yield Taken(wanted.names[-1], None, str(error))
        except (OSError, StoreRefused) as error:
            said = f"{store.address('')} must be a folder or bucket to write to, got {error}"
            yield Taken(wanted.names[-1], None, said)


def wanted_weights(config: Config, folder: str) -> list[Wanted]:
    """What the configuration's networks need; the pixel codec and its like need nothing.

    They are taken from the folder that the configuration names, if it is another one.
    """
    wanted, metrics = list[Wanted](), config.evaluate
    other = config.weights
    if other is not None and Store(other).address("") == Store(folder).address(""):
        other = None
    if isinstance(codec := config.codec, Autoencoder):
        wanted.append(_codec(codec, other))
    if isinstance(restorer := config.restore, SpandrelCheckpoint):
        wanted.append(_restorer(restorer, other))
    if (net := metrics.lpips) is not None and config.reference_name is not None:
        wanted.append(_network(lpips_file(net), lambda: fetch_lpips(net, other)))
    if (network := metrics.features) is not None:
        wanted.append(_network(FILES[network], lambda: fetch_extractor(network, other)))
    return list({each.names: each for each in wanted}.values())


def _codec(spec: Autoencoder, folder: str | None) -> Wanted:
    """A repository's commit never changes; a local folder may."""
    at = None if spec.revision is None else f"{spec.weights}@{spec.revision}"
    names = pulled_codec(spec)
    local = [Path(spec.weights) / Path(name).name for name in names]
    return Wanted(
        names,
        lambda: locate_codec(spec, folder),
        lambda path, _: at or str(path),
        lambda i, sha256: at is not None or _is_same(local[i], sha256),
        is_named_by_path=at is None,
    )


def _restorer(spec: SpandrelCheckpoint, folder: str | None) -> Wanted:
    return Wanted(
        (pulled_checkpoint(spec),),
        lambda: (locate_checkpoint(spec, folder),),
        lambda path, _: str(path),
        lambda _, sha256: _is_same(Path(spec.checkpoint), sha256),
        is_named_by_path=True,
    )


def _network(file: WeightFile, obtain: Callable[[], Path]) -> Wanted:
    """Altered weights may stay until others are at hand."""
    return Wanted(
        (pulled_name(file),),
        lambda: (obtain(),),
        lambda path, sha256: file.address if file.is_published(sha256) else str(path),
        lambda _, sha256: file.is_published(sha256) or _is_same(find(file), sha256),
    )


def _is_same(path: Path | None, sha256: str) -> bool:
    """Whether the file is not here, or has the digest."""
    return path is None or not path.is_file() or digest(path) == sha256


def _may_stay(store: Store, wanted: Wanted, there: Mapping[str, Pulled]) -> bool:
    """Whether all files are in the folder, whole, and the ones that are wanted."""
    return all(
        name in there
        and _is_whole(store, name, there[name])
        and wanted.is_current(i, there[name].sha256)
        for i, name in enumerate(wanted.names)
    )


def _is_whole(store: Store, name: str, entry: Pulled) -> bool:
    """Whether a file is as the manifest has it: by digest, in a bucket by size."""
    local = store.local(name)
    if local is not None:
        return local.is_file() and digest(local) == entry.sha256
    beside = store.list(name.rpartition("/")[0])
    return any(found.path == name and found.size == entry.size for found in beside)


def _publish(store: Store, wanted: Wanted, name: str, path: Path, before: Pulled | None) -> Pulled:
    """Copy a file into the pulled folder, whole.

    Raises:
        WeightsMissing: another one has its name there, or it changes meanwhile.
        OSError: it cannot be written.
    """
    sha256 = digest(path)
    entry = Pulled(sha256=sha256, size=path.stat().st_size, source=wanted.source(path, sha256))
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
