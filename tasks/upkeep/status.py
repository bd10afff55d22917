"""Status: a configuration goes in; what is done of each of its steps comes out.

It is read from the records of the ledger; nothing is run.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.enhance.match import match_reference
from tasks.evaluate.extract import extract_features
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.ledger import Ledger
from tasks.io.machine.collector import uncollected
from tasks.jobs import Planned, Target
from tasks.pipeline import Step, whole_pipeline
from tasks.shard.retire import retire_shards
from tasks.train.segment import train_segment
from tasks.upkeep.changes import SAMPLE, change_of


class StepStatus(BaseModel):
    """How many units of a step are done: shards, signals, or the one thing that it makes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    command: str
    """The command that does the step."""
    done: int = 0
    """Made, and nothing that the next run does can change that."""
    doubtful: int = 0
    """Made as things stand; a step whose work goes into them is open, and may change that."""
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
    images: int = 0
    """Images of all units; 0 if they are not about images, or cannot be counted yet."""
    images_to_do: int = 0
    """Images of the units that are missing, out of date or failed."""
    images_to_measure: int = 0
    """Those among them that are written already and are only measured, without the auto-encoder."""
    waits: bool = False
    """Whether its units cannot be counted before an earlier step is done."""
    note: str = ""
    """Why units cannot be counted yet, or what else must be known; empty if nothing."""


def status_of_steps(config: Config) -> Iterator[StepStatus]:
    """Yield the status of every step that has units, or waits for some, in their order."""
    run = Run.of(config, still=True)
    failed = run.workspace.ledger.failures("")
    unsure = list[Step]()
    for step in whole_pipeline(run):
        with uncollected():
            status = _status(step, failed, run.workspace.ledger)
        before = next((each for each in unsure if _feeds(each, step, config)), None)
        if before is not None and status.done:
            update = {"done": 0, "doubtful": status.done}
            note = status.note or f"as it is before {before.name!r} is done"
            status = status.model_copy(update={**update, "note": note})
        if _is_open(status) or status.doubtful:
            unsure.append(step)
        if status != StepStatus(name=step.name, command=step.verb):  # without units
            yield status


def _feeds(earlier: Step, later: Step, config: Config) -> bool:
    """Return whether what a step makes goes into what a later one makes, however indirectly."""
    if earlier.work is retire_shards or later.work is retire_shards:
        return False
    read = _data_sets_of(later, config)
    if earlier.verb not in _OF_DATA_SETS:
        return read is None or later.verb == "fit"
    dataset = earlier.name.partition(" ")[2]
    if later.verb in _OF_DATA_SETS:
        return config.made_datasets().get(later.name.partition(" ")[2]) == dataset
    return read is None or dataset in read


_OF_DATA_SETS = ("shard", "restore")
"""The commands whose steps make a data set each."""


def _data_sets_of(step: Step, config: Config) -> tuple[str | None, ...] | None:
    """Return the data sets that are all that a step stands on; None if it stands on others too."""
    if step.work is match_reference:
        return config.restored_name, config.reference_name
    if step.work is train_segment:
        return config.clean_name, config.degraded_name
    if step.work is extract_features:
        return config.against_names
    return (config.source_name, config.natural_name) if step.verb == "fit" else None


def _status(step: Step, failed: dict[tuple[str, str], str], ledger: Ledger) -> StepStatus:
    """Count the units of a step; the note says if they cannot be planned yet."""
    counts, images = Counter[str](), Counter[str]()
    stale, notes, measured = list[Target](), list[str](), 0
    try:
        for unit in step.units():
            targets = [] if unit.job is None else unit.job.targets()
            old = [target for target in targets if target.replaces]
            known = [failed[key] for t in targets if (key := (t.artifact, t.fingerprint)) in failed]
            if unit.job or unit.unit or not counts:  # an index does not count beside its shards
                state = _state(unit, old, known)
                counts[state] += 1
                images[state] += unit.images
                if unit.job is not None and unit.job.only_measures():
                    measured += unit.images
            stale += old[:1]
            notes += known[:1]
    except StepMissing:
        note = "waits for an earlier step"
        return StepStatus(name=step.name, command=step.verb, note=note, waits=True)
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
        images=images.total(),
        images_to_do=images.total() - images["done"],
        images_to_measure=measured,
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
