"""One step: units of work, submitted in a window, counted, watched, and failed together."""

import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Event
from typing import Any, NamedTuple, cast
from uuid import UUID

from prefect import Task
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.futures import PrefectFuture

from flows.lanes import Lanes, Runner
from flows.screen import screen
from tasks.io.errors import DotpipeError, ShardsFailed
from tasks.jobs import Outcome, Planned, note_failure
from tasks.progress import reporting_to

_SECONDS_BETWEEN_UPDATES = 2.0


class Failure(NamedTuple):
    """A unit that failed after all retries, and why; its frames are let go."""

    unit: str
    error: BaseException
    place: str


@dataclass
class Report:
    """What a step found and did."""

    step: str
    units: list[str] = field(default_factory=list)
    made: int = 0
    images: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

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
    lanes: Lanes,
    total: int | None = None,
) -> Report:
    """Run the jobs of a step, one in each lane at a time, and wait for all of them.

    A shard that fails does not stop the others; a mistake that every shard would
    share (a DotpipeError) does.

    Raises:
        DotpipeError: the mistake; or ShardsFailed, after the other shards are done.
    """
    view, report, watch = screen.get(), Report(step), _Watch(step, total)
    view.begin(step, total)
    stopped = Event()

    def advance(images: int) -> None:
        if stopped.is_set():  # or Prefect would wait for shards that nobody wants any more
            raise CancelledError(f"the step {step!r} was stopped; run again to go on")
        view.advance(images)

    with lanes.opened() as runner:
        try:
            with reporting_to(advance):
                _Window(work, runner, lanes.at_once, report, watch).run(units)
        except BaseException:
            stopped.set()
            raise
    watch.finish(report)
    view.finish(report.note)
    _raise_failures(report)
    return report


def leave_table(reports: Sequence[Report], key: str) -> None:
    """Leave what the steps of a flow did as an artifact of its run."""
    rows = [
        {
            "step": report.step,
            "shards": len(report.units),
            "made": report.made,
            "images": report.images,
            "refused": sum(report.refused.values()),
        }
        for report in reports
    ]
    create_table_artifact(rows, key=key, description="What each step found and did")


class _Window:
    """Jobs under way, at most so many, and what became of those that were."""

    def __init__(
        self,
        work: Task[Any, Outcome],
        runner: Runner,
        at_once: int,
        report: Report,
        watch: "_Watch",
    ) -> None:
        self._work, self._runner, self._at_once = work, runner, at_once
        self._report, self._watch = report, watch
        self._done: SimpleQueue[tuple[Planned, PrefectFuture[Outcome]]] = SimpleQueue()
        self._pending = 0
        self._busy: list[Planned] = []

    def run(self, units: Iterable[Planned]) -> None:
        """Submit the jobs in a window, and come back to those that other runs were at."""
        for unit in units:
            self._report.units.append(unit.unit)
            if unit.job is None:
                self._count(unit)
            elif not self._offer(unit):
                break
        self._drain()
        while self._busy and not self._is_hopeless():
            unit, *self._busy = self._busy
            if unit.job is not None:
                patient = unit.job.model_copy(update={"patient": True})
                self._offer(unit._replace(job=patient))
            if not self._busy:
                self._drain()

    def _offer(self, unit: Planned) -> bool:
        """Submit a job when there is room; not after a mistake that all jobs share."""
        while self._pending >= self._at_once:
            self._collect()
        if self._is_hopeless():
            return False
        future = self._runner.submit(self._work, {"job": unit.job})
        future.add_done_callback(partial(self._tell, unit))
        self._pending += 1
        return True

    def _tell(self, unit: Planned, future: PrefectFuture[Outcome]) -> None:
        self._done.put((unit, future))

    def _drain(self) -> None:
        while self._pending:
            self._collect()

    def _is_hopeless(self) -> bool:
        return any(isinstance(failure.error, DotpipeError) for failure in self._report.failures)

    def _count(self, unit: Planned) -> None:
        """A unit that is done already."""
        self._report.images += unit.images
        screen.get().advance(unit.images)

    def _collect(self) -> None:
        """Wait for the next job to end, and say what became of it."""
        unit, future = self._done.get()
        self._pending -= 1
        outcome = future.result(raise_on_failure=False)
        if isinstance(outcome, BaseException):
            self._fail(unit, outcome)
        elif outcome.state == "busy":
            self._busy.append(unit)
        elif outcome.state == "found":
            self._count(unit)
        else:
            self._report.made += 1
            self._report.images += outcome.images
            self._report.refused.update(outcome.refused)
            self._watch.show(self._report)

    def _fail(self, unit: Planned, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        # The frames would keep the shard's pictures and tensors in memory.
        self._report.failures.append(Failure(unit.unit, error.with_traceback(None), place))
        if unit.job is not None:
            note_failure(unit.job, error, place)


def _raise_failures(report: Report) -> None:
    if not report.failures:
        return
    for failure in report.failures:
        if isinstance(failure.error, DotpipeError):
            raise failure.error
    first = report.failures[0]
    raise ShardsFailed(
        f"{len(report.failures)} of {len(report.units)} shards failed in the step "
        f"{report.step!r}; the first was {first.unit}, with {type(first.error).__name__} at "
        f"{first.place}: {first.error}. The others are done, and running again takes up just "
        "these; the logs of the task runs on the Prefect dashboard say more"
    ) from first.error


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

    def finish(self, report: Report) -> None:
        """Tell how the step ended."""
        made = len(report.units) - len(report.failures)
        share = 100 * made / len(report.units) if report.units else 100.0
        update_progress_artifact(self._artifact, share, description=report.note)


def _key(step: str) -> str:
    """An artifact key: lower case, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in step.lower()).strip("-")
