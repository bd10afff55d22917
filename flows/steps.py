"""One step: units of work, submitted in a window, counted, watched, and failed together."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, cast
from uuid import UUID

from prefect import Task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.screen import screen
from tasks.io.errors import DotpipeError, ShardsFailed
from tasks.jobs import Outcome, Planned
from tasks.progress import reporting_to

RUNNER = cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=256))
"""Threads for tasks; how many are busy is decided by the window of each step."""

_SECONDS_BETWEEN_UPDATES = 2.0


@dataclass
class Report:
    """What a step found and did."""

    step: str
    units: list[str] = field(default_factory=list)
    made: int = 0
    images: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def note(self) -> str:
        """A few words on how it went."""
        if self.failures:
            return f"{len(self.failures)} of {len(self.units)} shards failed"
        made = f"{self.made} of {len(self.units)} shards made"
        words = made if self.made else "nothing to do"
        refused = sum(self.refused.values())
        return f"{words}, {refused} images refused" if refused else words


def run_step(
    step: str,
    work: Task[Any, Outcome],
    units: Iterable[Planned],
    *,
    at_once: int,
    total: int | None = None,
) -> Report:
    """Run the jobs of a step, at most ``at_once`` in flight, and wait for all of them.

    A shard that fails does not stop the others; a mistake that every shard would
    share (a DotpipeError) does.

    Raises:
        DotpipeError: the mistake; or ShardsFailed, after the other shards are done.
    """
    view, report, watch = screen.get(), Report(step), _Watch(step, total)
    view.begin(step, total)
    done: SimpleQueue[PrefectFuture[Outcome]] = SimpleQueue()
    pending = 0
    with reporting_to(view.advance):
        for unit in units:
            report.units.append(unit.unit)
            if unit.job is None:
                report.images += unit.images
                view.advance(unit.images)
                continue
            while pending >= at_once:
                _collect(done.get(), report, watch)
                pending -= 1
            if any(isinstance(failure, DotpipeError) for failure in report.failures):
                break
            work.submit(unit.job).add_done_callback(done.put)
            pending += 1
        for _ in range(pending):
            _collect(done.get(), report, watch)
    watch.finish(report.note)
    view.finish(report.note)
    _raise_failures(report)
    return report


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _collect(future: PrefectFuture[Outcome], report: Report, watch: "_Watch") -> None:
    outcome = future.result(raise_on_failure=False)
    if isinstance(outcome, BaseException):
        report.failures.append(outcome)
        return
    report.made += 1
    report.images += outcome.images
    report.refused.update(outcome.refused)
    watch.show(report)


def _raise_failures(report: Report) -> None:
    if not report.failures:
        return
    for failure in report.failures:
        if isinstance(failure, DotpipeError):
            raise failure
    first = report.failures[0]
    raise ShardsFailed(
        f"{len(report.failures)} of {len(report.units)} shards failed in the step "
        f"{report.step!r}, the first with {type(first).__name__}: {first}; the others are done, "
        "and running again takes up just these"
    ) from first


class _Watch:
    """The step's progress as an artifact of the flow run, updated now and then."""

    def __init__(self, step: str, total: int | None) -> None:
        self._total = total
        created = create_progress_artifact(0.0, key=_key(step), description=step)
        self._artifact = cast(UUID, created)  # awaited by Prefect itself in a synchronous flow
        self._shown = time.monotonic()

    def show(self, report: Report) -> None:
        """Tell how far the step is, unless that was told a moment ago."""
        if time.monotonic() - self._shown < _SECONDS_BETWEEN_UPDATES:
            return
        share = 100 * report.images / self._total if self._total else 0.0
        description = f"{report.step}: {report.images} images, {report.made} shards made"
        update_progress_artifact(self._artifact, min(share, 99.0), description=description)
        self._shown = time.monotonic()

    def finish(self, note: str) -> None:
        """Tell how the step ended."""
        update_progress_artifact(self._artifact, 100.0, description=note)


def _key(step: str) -> str:
    """An artifact key: lower case, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in step.lower()).strip("-")
