"""Reports of steps: what a step has counted so far, and the tables of it on the dashboard."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prefect.artifacts import create_table_artifact

from flows.runs.prefect_api import patiently
from flows.steps.pace import brief
from tasks.config import Config
from tasks.config.step_names import data_set_step, is_scan, units_in_words
from tasks.jobs import Outcome, Subject
from tasks.jobs.stopwatch import LAPS
from tasks.shard.bad_images import RefusedIn, counted_once

_MOST_ROWS = 200
"""The most rows in a table of failures; the ledger has a note of every failure."""

_LONGEST_MESSAGE = 1000
"""Characters of an error message that are shown in such a table."""


class StepRun(NamedTuple):
    """One step of one configuration's run, as messages and events name it."""

    name: str
    run: str
    """The name of the configuration."""
    max_bad_fraction: float
    """The share of images, from 0 to 1, that the step may refuse."""

    @classmethod
    def of(cls, config: Config, name: str) -> "StepRun":
        """The step of this name in a run of the configuration."""
        return cls(name, config.name, config.shards.max_bad_fraction)


class Failure(NamedTuple):
    """A unit that failed after all retries; the error holds no traceback."""

    unit: str
    error: BaseException
    place: str
    """The file and line that raised the error, as in ``store.py:7``."""


@dataclass
class StepReport:
    """What a step has found and done so far; filled in while the step runs."""

    step: str
    units: list[str] = field(default_factory=list)
    """The names of all units that were planned so far, done before or not."""
    made: int = 0
    """Units that this run has made."""
    images: int = 0
    """Images of all units that are done, by this run or before it."""
    refused: Counter[str] = field(default_factory=Counter)
    """Images that were refused in the units that this run has made, by reason."""
    refusals: list[RefusedIn] = field(default_factory=list)
    """The same shard by shard, for a sum over steps in which no image counts twice."""
    incomplete: int = 0
    """Images of which this run took in less than their files say: a damaged colour profile, Exif or
    XMP is left out."""
    failures: list[Failure] = field(default_factory=list)
    is_cut_short: bool = False
    """Whether the step was given up because a store was away."""
    fresh: int = 0
    """Images of the units that this run has made."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of all tasks together, by lap of ``Stopwatch``."""
    devices: Counter[str] = field(default_factory=Counter)
    """Images that each device has processed."""
    elapsed_s: float = 0.0
    """Seconds from the beginning of the step to now, or to its end."""

    @property
    def note(self) -> str:
        """A short phrase on how the step went, as in '3 of 3 shards made, 6 images refused'."""
        count = f"{len(self.units)} {units_in_words(self.step)}"
        if self.failures:
            return f"{len(self.failures)} of {count} failed"
        made = f"{self.made} of {count} made"
        words = made if self.made else "nothing to do"
        refused = self.refused.total()
        return f"{words}, {refused} images refused" if refused else words

    @property
    def rate(self) -> float:
        """Images that this run has processed per second of the step, or 0 before it has begun."""
        return self.fresh / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """The payload of an event about this step."""
        return {
            "step": self.step,
            "shards": len(self.units),
            "made": self.made,
            "images": self.images,
            "refused": dict(self.refused),
            "images_per_second": round(self.rate, 3),
        }

    def count(self, outcome: Outcome, subject: Subject | None = None) -> None:
        """Add the outcome of a task that has made its unit, which is about the subject's shard."""
        self.made += 1
        self.images += outcome.images
        self.fresh += outcome.images
        self.refused.update(outcome.refused)
        self.incomplete += outcome.remarks.get("metadata_left_out", 0)
        if outcome.refused and subject is not None:
            self.refusals.append(RefusedIn(subject.dataset, subject.shard, outcome.refused))
        for lap, seconds in outcome.seconds.items():
            self.seconds[lap] = self.seconds.get(lap, 0.0) + seconds
        if outcome.device is not None:
            self.devices[outcome.device] += outcome.images


def left_out_in_words(steps: Iterable[StepReport]) -> str | None:
    """Return a sentence on images of whose metadata a part was left out; None if there are none."""
    images = sum(step.incomplete for step in steps)
    if not images:
        return None
    return (
        f"left out: a colour profile, Exif or XMP that is damaged or does not fit, of {images} "
        f"image{'s' * (images > 1)}; the column reason of datasets/*/shard-*.parquet tells which"
    )


def refused_images(config: Config, steps: Iterable[StepReport]) -> dict[str, int]:
    """Return how many images the steps of a run have refused, by kind, each counted once.

    Args:
        config: of the run.
        steps: what they have done.
    """
    intakes = {data_set_step(config, dataset) for dataset in config.given_datasets()}
    origins = config.made_datasets()
    return counted_once(
        refused._replace(
            dataset=origins.get(refused.dataset, refused.dataset), at_intake=step.step in intakes
        )
        for step in steps
        for refused in step.refusals
    )


def leave(rows: list[dict[str, Any]], key: str, description: str) -> None:
    """Create a table artifact of the current run, as soon as the server can be reached."""
    patiently(lambda: create_table_artifact(rows, key=key, description=description))


def made_data_sets(reports: Iterable[StepReport]) -> dict[str, dict[str, Any]]:
    """What is known of the data sets of which steps have made shards, by name.

    Args:
        reports: of steps that make data sets, which bear their names.
    """
    return {
        report.step.partition(" ")[2]: {
            "images": report.images,
            "shards": len(report.units),
            "shards made": report.made,
            "refused": dict(report.refused),
        }
        for report in reports
        if report.made and not is_scan(report.step)
    }


def leave_table(reports: Sequence[StepReport], key: str) -> None:
    """Create table artifacts of the current run: one row for each step, one for each device."""
    rows = [_row(report) for report in reports]
    leave(rows, key, "What each step found and did")
    used = [row for report in reports for row in _device_rows(report)]
    if used:
        leave(used, f"{key}-devices", "Images per second of each device")


def leave_failures(report: StepReport) -> None:
    """Create a table artifact of the current run that lists the failed units and their errors."""
    rows = [
        {
            "shard": failure.unit,
            "error": type(failure.error).__name__,
            "message": str(failure.error)[:_LONGEST_MESSAGE],
            "place": failure.place,
        }
        for failure in report.failures[:_MOST_ROWS]
    ]
    total, listed = len(report.failures), len(rows)
    more = "" if listed == total else f"; these are the first {listed}"
    leave(rows, f"{artifact_key(report.step)}-failures", f"{report.step}: {report.note}{more}")


def artifact_key(step: str) -> str:
    """The key of a step's artifacts, which may hold only lower case, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in step.lower()).strip("-")


def _row(report: StepReport) -> dict[str, Any]:
    devices = len(report.devices)
    return {
        "step": report.step,
        "shards": len(report.units),
        "made": report.made,
        "failed": len(report.failures),
        "images": report.images,
        "refused": report.refused.total(),
        "why": ", ".join(f"{count} × {kind}" for kind, count in sorted(report.refused.items())),
        "seconds": round(report.elapsed_s, 1),
        "images per second": brief(report.rate),
        "devices": devices or "",
        "per device": brief(report.rate / devices) if devices else "",
        "where the time went": _shares(report.seconds),
    }


def _device_rows(report: StepReport) -> list[dict[str, Any]]:
    return [
        {
            "step": report.step,
            "device": device,
            "images": images,
            "images per second": brief(images / report.elapsed_s if report.elapsed_s else 0.0),
        }
        for device, images in sorted(report.devices.items())
    ]


def _shares(seconds: Mapping[str, float]) -> str:
    """The laps with their shares, as in 'read 1.5 s (12%)', in the order of the work."""
    total = sum(seconds.values())
    laps = [(lap, seconds[lap]) for lap in LAPS if seconds.get(lap)]
    return ", ".join(f"{lap} {brief(spent)} s ({spent / total:.0%})" for lap, spent in laps)
