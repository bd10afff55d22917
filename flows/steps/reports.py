"""What a step of a run is, found and did, and the tables that tell it on the dashboard."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prefect.artifacts import create_table_artifact

from flows.runs.prefect_api import patiently
from tasks.config import Config
from tasks.jobs import Outcome
from tasks.jobs.stopwatch import LAPS

_MOST_ROWS = 200
"""Of a table of failures; the ledger has a note of each."""

_LONGEST_MESSAGE = 1000


class StepRun(NamedTuple):
    """A step: its name, the run's, and what share of its images may be bad."""

    name: str
    run: str
    max_bad_fraction: float

    @classmethod
    def of(cls, config: Config, name: str) -> "StepRun":
        """A step of a configuration's run."""
        return cls(name, config.name, config.shards.max_bad_fraction)


class Failure(NamedTuple):
    """A unit that failed after all retries, and why; its frames are let go."""

    unit: str
    error: BaseException
    place: str


@dataclass
class StepReport:
    """What a step found and did."""

    step: str
    units: list[str] = field(default_factory=list)
    made: int = 0
    images: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    is_cut_short: bool = False
    """Whether it was given up, as a store was away."""
    fresh: int = 0
    """Images of the shards that were made; the others were done before."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Where the time of all tasks went, by lap of ``Stopwatch``."""
    devices: Counter[str] = field(default_factory=Counter)
    """Images that went through each device."""
    elapsed_s: float = 0.0
    """From the step's begin to now, or to its end."""

    @property
    def note(self) -> str:
        """A few words on how it went."""
        if self.failures:
            return f"{len(self.failures)} of {len(self.units)} shards failed"
        made = f"{self.made} of {len(self.units)} shards made"
        words = made if self.made else "nothing to do"
        refused = self.refused.total()
        return f"{words}, {refused} images refused" if refused else words

    @property
    def rate(self) -> float:
        """Images per second of the step's time."""
        return self.fresh / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """What an event says of it."""
        return {
            "step": self.step,
            "shards": len(self.units),
            "made": self.made,
            "images": self.images,
            "refused": dict(self.refused),
            "images_per_second": round(self.rate, 3),
        }

    def count(self, outcome: Outcome) -> None:
        """Add what a task has made."""
        self.made += 1
        self.images += outcome.images
        self.fresh += outcome.images
        self.refused.update(outcome.refused)
        for lap, seconds in outcome.seconds.items():
            self.seconds[lap] = self.seconds.get(lap, 0.0) + seconds
        if outcome.device is not None:
            self.devices[outcome.device] += outcome.images


def leave(rows: list[dict[str, Any]], key: str, description: str) -> None:
    """Leave a table as an artifact of the run, when there is a server to take it."""
    patiently(lambda: create_table_artifact(rows, key=key, description=description))


def leave_table(reports: Sequence[StepReport], key: str) -> None:
    """Leave what the steps of a flow did as artifacts of its run: a table, one of devices."""
    rows = [_row(report) for report in reports]
    leave(rows, key, "What each step found and did")
    used = [row for report in reports for row in _device_rows(report)]
    if used:
        leave(used, f"{key}-devices", "Images per second of each device")


def leave_failures(report: StepReport) -> None:
    """Leave which shards failed, and why, as an artifact of the run."""
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
    """A key of Prefect's: lower case, digits and dashes."""
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
        "images per second": _brief(report.rate),
        "devices": devices or "",
        "per device": _brief(report.rate / devices) if devices else "",
        "where the time went": _shares(report.seconds),
    }


def _device_rows(report: StepReport) -> list[dict[str, Any]]:
    return [
        {
            "step": report.step,
            "device": device,
            "images": images,
            "images per second": _brief(images / report.elapsed_s if report.elapsed_s else 0.0),
        }
        for device, images in sorted(report.devices.items())
    ]


def _shares(seconds: Mapping[str, float]) -> str:
    """Every lap in words, as in "read 1.5 s (12%)", in the order of the work."""
    total = sum(seconds.values())
    laps = [(lap, seconds[lap]) for lap in LAPS if seconds.get(lap)]
    return ", ".join(f"{lap} {_brief(spent)} s ({spent / total:.0%})" for lap, spent in laps)


def _brief(number: float) -> str:
    """Three digits, and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
