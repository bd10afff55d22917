"""Retry: have refused images tried again.

A configuration goes in; its artifacts that left images out come out. Once their records are
withdrawn, the next run makes them again.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from tasks.config import Config, Run
from tasks.io.errors import StepMissing
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.workspace import Workspace, dataset_folder
from tasks.pipeline import steps_of
from tasks.shard.bad_images import RefusedIn, counted_once


class Refusals(NamedTuple):
    """An artifact that left images out."""

    record: Record
    reasons: dict[str, int]
    """How many images were refused, by kind of reason."""


def find_refusals(config: Config, reason: str = "") -> Iterator[Refusals]:
    """Yield the artifacts of a configuration's shards that left images out.

    Args:
        config: whose artifacts.
        reason: only refusals whose kind has these words in it; all by default.
    """
    workspace = Workspace(config.workspace)
    needed = set(_shards(Run(config, workspace)))
    records = [record for record in workspace.ledger.survey("").all() if record.artifact in needed]
    with ThreadPoolExecutor(4 * cores()) as pool:
        read = partial(_refusals, workspace.ledger)
        for found in ordered_map(pool, read, sorted(records), ahead=8 * cores()):
            reasons = {kind: n for kind, n in found.reasons.items() if reason in kind}
            if reasons:
                yield found._replace(reasons=reasons)


def _shards(run: Run) -> Iterator[str]:
    """Yield the names of the artifacts of all shards, of those steps that can be planned now.

    The other steps wait for earlier ones, and will make their artifacts anyway.
    """
    for step in steps_of(run):
        with suppress(StepMissing):
            for unit in step.plan():
                names = unit.artifacts
                yield from (name for name in names if name.rpartition("/")[2].startswith("shard-"))


def withdraw_refusals(config: Config, refusals: list[Refusals]) -> dict[str, int]:
    """Have the next run make these artifacts again; return how many images that is, by reason.

    An image counts once, however many artifacts left it out.
    """
    Workspace(config.workspace).ledger.withdraw(refusal.record for refusal in refusals)
    return counted_once(_refused_in(config, refusal) for refusal in refusals)


def _refused_in(config: Config, refusal: Refusals) -> RefusedIn:
    """Return the data set and shard that an artifact is about, and what it left out."""
    _, dataset, *_, shard = refusal.record.artifact.split("/")
    origin = config.made_datasets().get(dataset, dataset)
    is_own = refusal.record.artifact == f"{dataset_folder(dataset)}/{shard}"
    at_intake = is_own and dataset in config.given_datasets()
    return RefusedIn(origin, shard, refusal.reasons, at_intake)


def _refusals(ledger: Ledger, record: Record) -> Refusals:
    return Refusals(record, ledger.facts(record).get("refused", {}))
