"""Waste: what lies in a workspace and no configuration that it serves refers to."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tasks.config import Config, Run
from tasks.io.errors import StepMissing
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.threads import side_by_side
from tasks.io.networks.extractors import extractor_identity
from tasks.io.networks.weights import Weights
from tasks.io.store import Store
from tasks.io.workspace import Workspace, alone
from tasks.pipeline import whole_pipeline

KINDS = ("datasets", "moments", "operators", "enhanced", "metrics", "features", "reports")
"""Folders of the workspace that hold artifacts; nothing else is ever taken for waste."""


class Waste(NamedTuple):
    """What may go: artifacts by their records, files of no record, notes of old failures."""

    records: list[Record]
    files: list[str]
    notes: list[str]
    folders: dict[str, tuple[int, int]]
    """How many files of how many bytes would go from each folder."""


def find_waste(configs: Iterable[Config], workspace: Workspace) -> Waste:
    """What none of these configurations refers to.

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
    sizes = side_by_side(partial(size_of, store=workspace.store), strays)
    gone |= {path: size for path, size in zip(strays, sizes, strict=True) if size is not None}
    made = {(record.artifact, record.fingerprint) for record in records}
    notes = [
        path
        for key, path in sorted(ledger.failures("").items())
        if key in made or key[0] not in needed
    ]
    return Waste(unneeded, strays, notes, by_folder(gone))


def remove_waste(waste: Waste, configs: Iterable[Config], workspace: Workspace) -> None:
    """Remove it, as far as it is still waste; safe to repeat.

    Raises:
        StepMissing: a run is at work.
    """
    with alone(workspace):
        now = find_waste(configs, workspace)
        workspace.ledger.retire(set(waste.records) & set(now.records))
        paths = (*set(waste.files) & set(now.files), *set(waste.notes) & set(now.notes))
        for _ in side_by_side(workspace.store.remove, paths):
            pass
        workspace.store.prune()


def _artifacts(config: Config) -> Iterator[str]:
    """Everything that a configuration stands for.

    Raises:
        StepMissing: that cannot be known now, or not on this machine.
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
    """Files where artifacts lie; what a link leads to outside is not ours."""
    root = store.local()
    for kind in KINDS:
        for path in store.names(kind):
            local = store.local(path)
            if root is None or local is None or local.resolve().is_relative_to(root.resolve()):
                yield path


def size_of(path: str, store: Store) -> int | None:
    """Of a file; None if it has gone."""
    try:
        return store.entry(path).size
    except FileNotFoundError:
        return None


def _files(ledger: Ledger, record: Record) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = ledger.facts(record)["files"]
    return files


def by_folder(files: dict[str, int]) -> dict[str, tuple[int, int]]:
    """How many files of how many bytes each folder has among these."""
    folders: dict[str, tuple[int, int]] = {}
    for path, size in sorted(files.items()):
        folder = path.rpartition("/")[0]
        count, total = folders.get(folder, (0, 0))
        folders[folder] = (count + 1, total + size)
    return folders
