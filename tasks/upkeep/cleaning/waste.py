"""Waste: what lies in a workspace and no configuration that it serves refers to.

Configurations and a workspace go in; what may be removed comes out, and is then removed.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.config.registry import drop, registered
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store
from tasks.io.workspace import KINDS, Workspace, alone
from tasks.io.workspace.layout import STUDIES
from tasks.upkeep.cleaning.former import kept_former
from tasks.upkeep.cleaning.needs import needs_of
from tasks.upkeep.cleaning.removal import by_folder, remove_files, sizes_of


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
    doubts: list[str]
    """Sentences about configurations of which more is kept than they may need, and why."""


def find_waste(configs: Iterable[Config], workspace: Workspace, keep: int = 0) -> Waste:
    """Return what none of these configurations refers to.

    Of one that has not been run to its end, all that it may need is kept, and a sentence says so.

    Args:
        configs: all that the workspace serves.
        workspace: where.
        keep: how many former operators keep their results where a configuration does not say.
    """
    there = set(_files_in(workspace.store))  # before the records, which come after the files
    served = list(configs)
    needs = [needs_of(config) for config in served]
    needs += [kept_former(config, served, keep) for config in served]

    def is_needed(path: str) -> bool:
        return any(each.hold(path) for each in needs)

    ledger = workspace.ledger
    records = sorted(ledger.survey("").all())
    bodies = side_by_side(partial(_files, ledger), records)
    kept, gone = set[str](), dict[str, int]()
    unneeded = []
    for record, files in zip(records, bodies, strict=True):
        if is_needed(record.artifact):
            kept |= files.keys()
        else:
            unneeded.append(record)
            gone |= {path: facts["size"] for path, facts in files.items()}
    strays = [path for path in sorted(there - kept - gone.keys()) if not is_needed(path)]
    gone |= sizes_of(strays, workspace.store)
    made = {(record.artifact, record.fingerprint) for record in records}
    notes = [
        path
        for key, path in sorted(ledger.failures("").items())
        if key in made or not is_needed(key[0])
    ]
    doubts = [each.doubt for each in needs if each.doubt]
    return Waste(unneeded, strays, notes, by_folder(gone), doubts)


def remove_waste(
    waste: Waste, configs: Iterable[Config], workspace: Workspace, dropped: Collection[str] = ()
) -> None:
    """Remove what was found to be waste, as far as it still is; safe to repeat.

    What a configuration needs that was run for the first time since then stays.

    Args:
        waste: as it was found.
        configs: all that the workspace served then.
        workspace: where.
        dropped: names of configurations that it is to serve no more.

    Raises:
        WorkspaceBusy: a run is at work on the workspace; nothing was removed or dropped.
    """
    known = list(configs)
    with alone(workspace):
        told_of = {*dropped, *(each.name for each in known)}
        newer = list(registered(workspace.store, without=told_of))
        for name in dropped:
            drop(workspace.store, name)
        now = find_waste([*known, *newer], workspace)
        still = Waste(
            sorted(set(waste.records) & set(now.records)),
            sorted(set(waste.files) & set(now.files)),
            sorted(set(waste.notes) & set(now.notes)),
            now.folders,
            now.doubts,
        )
        _remove(still, workspace)


def clean(config: Config, keep: int = 0) -> Waste:
    """Find waste and remove it; safe to repeat, also after it was killed.

    What other configurations of the workspace need stays, and so does what one of this name
    needed that was run there otherwise. Which these are is asked when no run is at work any
    more, so one that has just run for the first time is among them.

    Args:
        config: names the workspace.
        keep: how many former operators keep their results where a configuration does not say.

    Returns:
        what was removed.

    Raises:
        WorkspaceBusy: a run is at work on the workspace.
    """
    workspace = Workspace(config.workspace)
    with alone(workspace):
        others = (each for each in registered(workspace.store) if each != config)
        waste = find_waste([config, *others], workspace, keep)
        _remove(waste, workspace)
    return waste


def _remove(waste: Waste, workspace: Workspace) -> None:
    """Remove waste while no run is at work: records before their files."""
    workspace.ledger.retire(waste.records)
    remove_files((*waste.files, *waste.notes), workspace.store)
    workspace.store.prune()


def _files_in(store: Store) -> Iterator[str]:
    """Yield the paths of files below the folders of artifacts; of links, those that stay inside."""
    root = store.local()
    for kind in KINDS:
        for path in store.names(kind):
            if path.startswith(f"{STUDIES}/"):
                continue
            local = store.local(path)
            if root is None or local is None or local.resolve().is_relative_to(root.resolve()):
                yield path


def _files(ledger: Ledger, record: Record) -> dict[str, dict[str, Any]]:
    files: dict[str, dict[str, Any]] = ledger.facts(record)["files"]
    return files
