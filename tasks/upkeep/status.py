"""Status: a configuration goes in; what is done of each of its steps comes out.

It is read from the records of the ledger; nothing is run.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.ledger import Ledger, Record
from tasks.jobs import Planned, Target
from tasks.pipeline import Step, uncollected, whole_pipeline

SAMPLE = 5
"""Records that are read of each step to say why it is out of date: one request each."""

_NAMES = {
    "alphas": "the curve's alphas",
    "chosen": "the images that the fit chooses",
    "clean": "the clean shard",
    "config": "the configuration",
    "features": "the weights or network of the features",
    "files": "the corpus's files",
    "forgotten": "the forgotten keys",
    "images": "the number of images, or the images",
    "keys": "the images that the fit chooses",
    "limits": "shards.max_pixels or shards.max_bytes",
    "lpips": "the weights or network of LPIPS",
    "match": "the reference's images",
    "operator": "the operator",
    "page": "this software's page",
    "path": "the corpus's path",
    "reference": "the reference",
    "restorer": "the restorer or its weights",
    "scores": "the metrics of some shards",
    "shard": "the shard's images",
    "shards": "the shards",
    "source": "the restored images' moments or index",
    "summary": "the fidelity table",
    "target": "the natural images' moments or index",
}
"""Names of inputs of fingerprints in words, where the name itself does not say what it is."""


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
        reasons=Counter(_change(target, ledger) for target in asked),
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


def _change(target: Target, ledger: Ledger) -> str:
    """Return in words which inputs have changed since an artifact was made.

    An operator or table with a new name is compared with the one beside it that differs least.
    """
    if target.again is not None:
        return "files can be read that could not"
    found = [_inputs(record, ledger) for record in _before(target, ledger)]
    changes = [
        [
            _told(name, before.get(name), target.inputs.get(name))
            for name in sorted(set(before) | set(target.inputs))
            if before.get(name) != target.inputs.get(name)
        ]
        for before in found
        if before is not None
    ]
    if found and not changes:
        return "its record cannot be read"
    fewest = min(changes, key=len, default=["it"])
    return f"{', '.join(fewest) or 'the kernels of this software'} changed"


def _before(target: Target, ledger: Ledger) -> list[Record]:
    """Return the records of a target's artifact; if it has none, some of those in its folder."""
    folder = ledger.survey(target.artifact.rpartition("/")[0])
    beside = (record for name in folder.artifacts() for record in folder.records(name))
    return folder.records(target.artifact) or list(islice(beside, SAMPLE))


def _inputs(record: Record, ledger: Ledger) -> dict[str, Any] | None:
    """Return what an artifact was made from; None if its record is damaged, or just withdrawn."""
    try:
        found: dict[str, Any] = dict(ledger.facts(record)["inputs"])
    except (OSError, ValueError, LookupError, TypeError, DotpipeError):
        return None
    return found


def _told(name: str, before: Any, after: Any) -> str:
    """Return an input in words, with its values before and now where they are short."""
    values = (before, after)
    plain = all(isinstance(value, str | int | float | None) for value in values)
    short = plain and all(len(str(value)) <= 24 for value in values)
    return f"{_NAMES.get(name, name)}{f' ({before} → {after})' if short else ''}"


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
