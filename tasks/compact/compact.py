"""Compact: small shards become larger ones at all stages, and nothing is computed again.

All merged shards are made first, beside the small ones and in no index. Then each index comes to
name them, and what follows from indexes is made again. The small ones are removed last, as those
of images that are gone are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tasks.compact.artifacts import carry_out_merge
from tasks.compact.journal import (
    Former,
    IndexChange,
    Journal,
    close_journal,
    digest_of_options,
    read_journal,
)
from tasks.compact.layout import Layout, find_layouts
from tasks.compact.operators import keep_operator
from tasks.compact.plan import Fingerprints, MergePlan
from tasks.compact.remaining import finish, numbers_of, remove_unnamed
from tasks.config import Config, Run
from tasks.config.registry import served_by
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import Workspace, alone, dataset_folder, key_of_file
from tasks.jobs import settle
from tasks.pipeline import is_finished
from tasks.shard.index import plan_index, write_index
from tasks.shard.retire import KINDS


class Compacted(NamedTuple):
    """What becomes, or became, of the small shards of one data set."""

    dataset: str
    before: int
    """Shards that it had."""
    small: int
    """How many of them are merged."""
    merged: int
    """What they are merged into."""
    files: int
    """Files of the small ones, at all stages, which are removed; images of their own stay."""
    size: int
    """Bytes of these files, which are copied."""


def look(config: Config) -> list[Compacted]:
    """Return what a compaction would merge; changes nothing.

    Args:
        config: one that the workspace serves, as it is now; it says how large a shard is.

    Raises:
        StepMissing: one of them is not finished, or a corpus changes while this is at work.
    """
    workspace = Workspace(config.workspace)
    configs = served_by(workspace.store, config)
    require_finished(configs)
    return _told(find_layouts(configs, workspace, config.shards.images), workspace)


def compact(config: Config) -> list[Compacted]:
    """Merge small shards, and end a compaction that was cut short; safe to repeat.

    Arguments and errors are those of ``look``; returns what was merged.

    Raises:
        WorkspaceBusy: a run is at work on the workspace; nothing was changed.
        ArtifactDamaged: a small shard is not whole.
    """
    workspace = Workspace(config.workspace)
    with alone(workspace):
        configs = served_by(workspace.store, config)
        _end_former(configs, workspace)
        require_finished(configs)
        layouts = find_layouts(configs, workspace, config.shards.images)
        told = _told(layouts, workspace)
        if layouts:
            begun = Journal(made={name: each.names for name, each in layouts.items()})
            begun.write(workspace.store)
            try:
                journal = _prepare(configs, layouts, workspace, begun)
                require_finished(configs)  # or a corpus has changed meanwhile
            except DotpipeError:
                _clean_up(begun, workspace)
                raise
            journal.write(workspace.store)
            _switch(configs, journal, workspace)
            close_journal(workspace.store)
            workspace.store.prune()
    return told


def _end_former(configs: Sequence[Config], workspace: Workspace) -> None:
    """End a compaction that was cut short: what it has begun, or else remove what it had made."""
    journal = read_journal(workspace.store)
    if journal is not None and journal.is_begun(workspace):
        _switch(configs, journal, workspace)
    if journal is not None:
        _clean_up(journal, workspace)
    close_journal(workspace.store)


def _clean_up(journal: Journal, workspace: Workspace) -> None:
    """Remove what is left of merged or small shards that no index names, and the journal."""
    for shards in (journal.made, journal.retired):
        remove_unnamed(shards, workspace)
    close_journal(workspace.store)


def _prepare(
    configs: Sequence[Config],
    layouts: Mapping[str, Layout],
    workspace: Workspace,
    begun: Journal,
) -> Journal:
    """Make all merged shards beside the small ones; return what is left to do.

    Raises:
        StepMissing: something that stays is not finished.
    """
    plan, fingerprints = MergePlan(workspace, layouts), Fingerprints()
    for config in configs:
        for merge in plan.images(config, fingerprints):
            carry_out_merge(merge, workspace)
    copied = dict[str, Former]()
    for config in configs:
        for merge in plan.fit(config):
            carry_out_merge(merge, workspace)
        keep_operator(Run(config, workspace), plan.selections(config))
        for merge in plan.results(config):
            carry_out_merge(merge, workspace)
        copied |= numbers_of(config, workspace)
    return Journal(
        made=begun.made,
        indexes=_changes(configs, fingerprints, workspace),
        copied=copied,
        options=digest_of_options(configs),
    )


def _changes(
    configs: Iterable[Config], fingerprints: Fingerprints, workspace: Workspace
) -> tuple[IndexChange, ...]:
    """Return the indexes that are to name the merged shards."""
    changes = dict[str, IndexChange]()
    for config in configs:
        for dataset in config.datasets():
            if dataset not in fingerprints or dataset in changes:
                continue
            job = plan_index(Run(config, workspace), dataset, fingerprints[dataset])
            if job is not None:
                (record,) = workspace.ledger.records(f"{dataset_folder(dataset)}/index")
                changes[dataset] = IndexChange(before=record.fingerprint, job=job)
    return tuple(changes.values())


def _switch(configs: Sequence[Config], journal: Journal, workspace: Workspace) -> None:
    """Have the indexes name merged shards, make again what follows, and remove the small ones.

    Numbers are copied where they would be the same, and else computed from the merged tables.
    """
    for change in journal.indexes:  # the workspace may have been moved since
        settle(change.job.model_copy(update={"workspace": workspace.url}), write_index)
    copied = journal.copied if journal.options == digest_of_options(configs) else {}
    for config in configs:
        finish(config, copied)


def require_finished(configs: Iterable[Config]) -> None:
    """Check that all configurations that a workspace serves are finished.

    Raises:
        StepMissing: one is not.
    """
    for config in configs:
        if not is_finished(config):
            raise StepMissing(
                f"all of {config.name!r} must be done before shards are merged; run `dotpipe run` "
                f"with it first, or let it go with `dotpipe gc CONFIG --drop {config.name}`"
            )


def _told(layouts: Mapping[str, Layout], workspace: Workspace) -> list[Compacted]:
    """Return what is merged, with the files and bytes of the small shards at all stages."""
    told = []
    for dataset, layout in sorted(layouts.items()):
        small = {shard for group in layout.groups for shard in group.merged}
        surveys = (workspace.ledger.survey(f"{kind}/{dataset}") for kind in KINDS)
        records = [record for survey in surveys for record in survey.of_shards(small)]
        sizes = list[int]()
        for body in side_by_side(workspace.ledger.facts, records):
            files = body["files"].items()
            sizes += [facts["size"] for path, facts in files if key_of_file(path) is None]
        before = len(layout.shards) - len(layout.groups) + len(small)
        told.append(
            Compacted(dataset, before, len(small), len(layout.groups), len(sizes), sum(sizes))
        )
    return told
