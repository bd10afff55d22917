"""Waste: what lies in a workspace and no configuration that it serves refers to.

Configurations and a workspace go in; what may be removed comes out, and is then removed.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tasks.config import Config, Run
from tasks.io.errors import StepMissing
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.threads import side_by_side
from tasks.io.networks.extractors import extractor_identity
from tasks.io.networks.weights import Weights
from tasks.io.store import Store
from tasks.io.workspace import KINDS, Workspace, alone
from tasks.pipeline import whole_pipeline


class Waste(NamedTuple):
    """What may be removed from a workspace."""

    records: list[Record]
    """Records of artifacts that no configuration refers to; their files are removed too."""
    files: list[str]
    """Paths of files that no record lists."""
    notes: list[str]
    """Paths of notes of failures that were mended, or that no configuration refers to."""
    folders: dict[str, tuple[int, int]]
    """How many files of how many bytes would be removed from each folder, notes left out."""


def find_waste(configs: Iterable[Config], workspace: Workspace) -> Waste:
    """Return what none of these configurations refers to.

    Args:
        configs: all that the workspace serves.
        workspace: where.

    Raises:
        StepMissing: one of them has not been run to its end, so that what it needs cannot
            be known.
    """
    there = set(_files_in(workspace.store))  # before the records, which come after the files
    needed = {artifact for config in configs for artifact in _artifacts(config)}
    ledger = workspace.ledger
    records = sorted(ledger.survey("").all())
    bodies = side_by_side(partial(_files, ledger), records)
    kept, gone = set[str](), dict[str, int]()
    unneeded = []
    for record, files in zip(records, bodies, strict=True):
        if record.artifact in needed:
            kept |= files.keys()
        else:
            unneeded.append(record)
            gone |= {path: facts["size"] for path, facts in files.items()}
    strays = sorted(there - kept - gone.keys())
    gone |= sizes_of(strays, workspace.store)
    made = {(record.artifact, record.fingerprint) for record in records}
    notes = [
        path
        for key, path in sorted(ledger.failures("").items())
        if key in made or key[0] not in needed
    ]
    return Waste(unneeded, strays, notes, by_folder(gone))


def remove_waste(waste: Waste, configs: Iterable[Config], workspace: Workspace) -> None:
    """Remove what was found to be waste, as far as it still is; safe to repeat.

    Args:
        waste: as it was found.
        configs: all that the workspace serves.
        workspace: where.

    Raises:
        StepMissing: a run is at work on the workspace.
    """
    with alone(workspace):
        now = find_waste(configs, workspace)
        workspace.ledger.retire(set(waste.records) & set(now.records))
        paths = (*set(waste.files) & set(now.files), *set(waste.notes) & set(now.notes))
        remove_files(paths, workspace.store)
        workspace.store.prune()


def _artifacts(config: Config) -> Iterator[str]:
    """Yield the names of all artifacts that a configuration needs.

    Raises:
        StepMissing: a step has not been done, or weights are not on this machine, so that
            the names cannot be known.
    """
    network = config.evaluate.features
    if network is not None and extractor_identity(network, Weights.of(config.weights)) is None:
        raise StepMissing(
            f"the weights of {network} must be on this machine to know what the configuration "
            f"{config.name!r} needs, but are not; do this where it runs, or drop it with --drop "
            f"{config.name}"
        )
    for step in whole_pipeline(Run.of(config)):
        try:
            for unit in step.units():
                yield from unit.artifacts
        except StepMissing as error:
            raise StepMissing(
                f"what the configuration {config.name!r} needs must be known, but its step "
                f"{step.name!r} waits for others; run it to its end first, or drop it with "
                f"--drop {config.name}"
            ) from error


def _files_in(store: Store) -> Iterator[str]:
    """Yield the paths of files below the folders of artifacts; of links, those that stay inside."""
    root = store.local()
    for kind in KINDS:
        for path in store.names(kind):
            local = store.local(path)
            if root is None or local is None or local.resolve().is_relative_to(root.resolve()):
                yield path


def _files(ledger: Ledger, record: Record) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = ledger.facts(record)["files"]
    return files


def _size_of(store: Store, path: str) -> int | None:
    try:
        return store.entry(path).size
    except FileNotFoundError:
        return None


def sizes_of(paths: Sequence[str], store: Store) -> dict[str, int]:
    """Return the sizes of files in bytes, by path, without files that are not there."""
    sizes = side_by_side(partial(_size_of, store), paths)
    return {path: size for path, size in zip(paths, sizes, strict=True) if size is not None}


def remove_files(paths: Iterable[str], store: Store) -> None:
    """Remove files, several at once; those that are not there count as removed."""
    for _ in side_by_side(store.remove, paths):
        pass  # each result is waited for, and raises what went wrong


def by_folder(files: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Return how many files of how many bytes there are in each folder.

    Args:
        files: sizes in bytes, by path.
    """
    folders: dict[str, tuple[int, int]] = {}
    for path, size in sorted(files.items()):
        folder = path.rpartition("/")[0]
        count, total = folders.get(folder, (0, 0))
        folders[folder] = (count + 1, total + size)
    return folders
