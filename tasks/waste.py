"""Waste: what lies in a workspace and no configuration that it serves refers to."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.io.claims import CLAIMS
from tasks.io.cores import cores
from tasks.io.errors import StepMissing
from tasks.io.ledger import FAILURES, LEDGER, Ledger, Record
from tasks.io.pictures import ordered_map
from tasks.io.workspace import FORGOTTEN, Workspace
from tasks.plan import steps_of
from tasks.registry import CONFIGURATIONS

_KEPT = (f"{LEDGER}/", f"{FAILURES}/", f"{CLAIMS}/", f"{CONFIGURATIONS}/", FORGOTTEN, ".")


class Waste(NamedTuple):
    """What may go: artifacts by their records, files of no record, notes of old failures."""

    records: list[Record]
    files: list[str]
    notes: list[str]
    folders: dict[str, tuple[int, int]]
    """How many files of how many bytes would go from each folder; bytes of files of no
    record are not known."""


def find_waste(configs: Iterable[Config], workspace: Workspace) -> Waste:
    """What none of these configurations refers to.

    Raises:
        StepMissing: one of them has not been run to its end, or a run is under way, so
            that what is needed cannot be known.
    """
    _require_rest(workspace)
    needed = {artifact for config in configs for artifact in _artifacts(config)}
    ledger = workspace.ledger
    records = sorted(ledger.survey("").all())
    with ThreadPoolExecutor(4 * cores()) as pool:
        bodies = list(ordered_map(pool, partial(_files, ledger), records, ahead=8 * cores()))
    kept, gone = set[str](), dict[str, int]()
    unneeded = []
    for record, files in zip(records, bodies, strict=True):
        if record.artifact in needed:
            kept |= files.keys()
        else:
            unneeded.append(record)
            gone |= {path: facts["size"] for path, facts in files.items()}
    there = [path for path in workspace.store.names("") if not path.startswith(_KEPT)]
    strays = sorted(path for path in there if path not in kept and path not in gone)
    made = {(record.artifact, record.fingerprint) for record in records}
    notes = [
        path
        for key, path in sorted(ledger.failures("").items())
        if key in made or key[0] not in needed
    ]
    return Waste(unneeded, strays, notes, by_folder(gone | dict.fromkeys(strays, 0)))


def remove_waste(waste: Waste, workspace: Workspace) -> None:
    """Remove it; safe to repeat."""
    workspace.ledger.retire(waste.records)
    for path in (*waste.files, *waste.notes):
        workspace.store.remove(path)
    workspace.store.prune()


def _artifacts(config: Config) -> Iterator[str]:
    """Everything that a configuration stands for."""
    for step in steps_of(config, Workspace(config.workspace)):
        try:
            for unit in step.plan():
                yield from unit.artifacts
        except StepMissing as error:
            raise StepMissing(
                f"what the configuration {config.name!r} needs must be known, but its step "
                f"{step.name!r} waits for others; run it to its end first, or drop it with "
                f"--drop {config.name}"
            ) from error


def _require_rest(workspace: Workspace) -> None:
    """Check that no run is at work: its files have no records yet.

    Raises:
        StepMissing: one is.
    """
    held = sorted(workspace.claims.alive())
    if held:
        raise StepMissing(
            f"no run must be at work on the workspace, but {held[0]} is claimed; wait for it to "
            "end, or, if it was killed on another machine, for a minute and a half"
        )


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
