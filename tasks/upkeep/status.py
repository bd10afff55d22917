"""Status: a configuration goes in; what is done of each of its steps comes out.

It is read from the records of the ledger; nothing is run.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.ledger import Ledger
from tasks.jobs import Planned, Target
from tasks.pipeline import Step, uncollected, whole_pipeline
from tasks.upkeep.changes import SAMPLE, change_of


class StepStatus(BaseModel):
    """How many units of a step are done: shards, signals, or the one thing that it makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    command: str
    """The command that does the step."""
    done: int = 0
    missing: int = 0
    """Never made yet, and not failed."""
    stale: int = 0
    """Made before, from other inputs than now, and not failed since."""
    failed: int = 0
    """Not made, and the last run that tried has failed."""
    reasons: dict[str, int] = {}
    """What has changed for units that are out of date, and for how many of the ``asked``."""
    asked: int = 0
    """How many of the units that are out of date were asked: a few."""
    failures: dict[str, int] = {}
    """Why units failed, and how many of a few that were asked."""
    note: str = ""
    """Why units cannot be counted yet, or what else must be known; empty if nothing."""


def status_of_steps(config: Config) -> Iterator[StepStatus]:
    """Yield the status of every step that has units, or waits for some, in their order."""
    run = Run.of(config, still=True)
    failed = run.workspace.ledger.failures("")
    earlier = ""
    for step in whole_pipeline(run):
        with uncollected():
            status = _status(step, failed, run.workspace.ledger)
        if earlier and status.done and not status.note and not _is_open(status):
            status = status.model_copy(update={"note": f"as it is before {earlier!r} is done"})
        earlier = earlier or (step.name if _is_open(status) else "")
        if status != StepStatus(name=step.name, command=step.verb):  # without units
            yield status


def _status(step: Step, failed: dict[tuple[str, str], str], ledger: Ledger) -> StepStatus:
    """Count the units of a step; the note says if they cannot be planned yet."""
    counts, stale, notes = Counter[str](), list[Target](), list[str]()
    try:
        for unit in step.units():
            targets = [] if unit.job is None else unit.job.targets()
            old = [target for target in targets if target.replaces]
            known = [failed[key] for t in targets if (key := (t.artifact, t.fingerprint)) in failed]
            if unit.job or unit.unit or not counts:  # an index does not count beside its shards
                counts[_state(unit, old, known)] += 1
            stale += old[:1]
            notes += known[:1]
    except StepMissing:
        return StepStatus(name=step.name, command=step.verb, note="waits for an earlier step")
    except DotpipeError as error:
        return StepStatus(name=step.name, command=step.verb, note=str(error))
    asked = list(islice(stale, SAMPLE))
    return StepStatus(
        name=step.name,
        command=step.verb,
        done=counts["done"],
        missing=counts["missing"],
        stale=counts["stale"],
        failed=counts["failed"],
        asked=len(asked),
        reasons=Counter(change_of(target, ledger) for target in asked),
        failures=_failures(notes, ledger),
    )


def _is_open(status: StepStatus) -> bool:
    """Return whether a step has something to do, as far as that can be known."""
    return bool(status.missing or status.stale or status.failed)


def _state(unit: Planned, old: list[Target], failures: list[str]) -> str:
    if unit.job is None:
        return "done"
    if failures:
        return "failed"
    return "stale" if old else "missing"


def _failures(paths: Iterable[str], ledger: Ledger) -> dict[str, int]:
    """Return the errors of the first few failures, and how many there are of each."""
    told = Counter[str]()
    for path in islice(paths, SAMPLE):
        try:
            facts = ledger.read_note(path)
            told[f"{facts['error']}: {facts['message']}"] += 1
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return dict(told)
