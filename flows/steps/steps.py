"""One step: units of work, submitted in a window, counted, watched, and failed together."""

from collections.abc import Iterable
from concurrent.futures import CancelledError
from functools import partial
from queue import SimpleQueue
from threading import Event
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture

from flows.runners.lanes import Lanes, Runner
from flows.steps.reports import Failure, StepReport, StepRun, leave_failures
from flows.steps.screen import screen
from flows.steps.step_watch import StepWatch
from tasks.io.errors import DotpipeError, ShardDamaged, ShardsFailed, StoreAway, place_of
from tasks.jobs import Outcome, Planned, note_failure
from tasks.jobs.events import tell_failure
from tasks.jobs.progress import reporting_to

_AWAY_IN_A_ROW = 2
"""Shards that find no answer after all retries, which take minutes, before a step is given up;
more where more are under way."""


def run_step(
    step: StepRun,
    work: Task[Any, Outcome],
    units: Iterable[Planned],
    lanes: Lanes,
    total: int | None = None,
) -> StepReport:
    """Run the jobs of a step, one in each lane at a time, and wait for all of them.

    A shard that fails does not stop the others; a mistake that every shard would
    share (a DotpipeError, but for a damaged shard) does, and so does a store that stays
    away for several shards in a row.

    Raises:
        DotpipeError: the mistake; or ShardsFailed, after the other shards are done.
    """
    view, report, watch = screen.get(), StepReport(step.name), StepWatch(step, total)
    view.begin(step.name, total)
    stopped = Event()

    def advance(images: int) -> None:
        if stopped.is_set():  # or Prefect would wait for shards that nobody wants any more
            raise CancelledError(f"the step {step.name!r} was stopped; run again to go on")
        view.advance(images)

    with lanes.opened() as runner:
        try:
            with reporting_to(advance):
                _Window(work, runner, lanes, report, watch).run(units)
        except BaseException:
            stopped.set()
            raise
    watch.finish(report)
    view.finish(report.note)
    _raise_failures(report)
    return report


class _Window:
    """Jobs under way, at most so many, and what became of those that were."""

    def __init__(
        self,
        work: Task[Any, Outcome],
        runner: Runner,
        lanes: Lanes,
        report: StepReport,
        watch: StepWatch,
    ) -> None:
        self._work, self._runner, self._lanes = work, runner, lanes
        self._report, self._watch = report, watch
        self._done: SimpleQueue[tuple[Planned, PrefectFuture[Outcome]]] = SimpleQueue()
        self._pending = 0
        self._busy: list[Planned] = []
        self._away = 0
        """Shards that found no answer of the store, after the last that did."""

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
        while self._pending >= self._lanes.at_once:
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
        return self._report.is_cut_short or any(
            _is_of_all(failure.error) for failure in self._report.failures
        )

    def _count(self, unit: Planned) -> None:
        """A unit that is done already."""
        self._report.images += unit.images
        screen.get().advance(unit.images)

    def _collect(self) -> None:
        """Wait for the next job to end, and say what became of it."""
        unit, future = self._done.get()
        self._pending -= 1
        outcome = future.result(raise_on_failure=False)
        self._away = self._away + 1 if isinstance(outcome, StoreAway) else 0
        if self._away >= max(_AWAY_IN_A_ROW, self._lanes.at_once):
            self._report.is_cut_short = True
        if isinstance(outcome, BaseException):
            self._fail(unit, outcome)
        elif outcome.state == "busy":
            self._busy.append(unit)
        elif outcome.state == "found":
            self._count(unit)
        else:
            self._report.count(outcome)
            if not self._lanes.reports_progress:
                screen.get().advance(outcome.images)
            self._watch.show(self._report)

    def _fail(self, unit: Planned, error: BaseException) -> None:
        place = place_of(error)
        # The frames would keep the shard's pictures and tensors in memory.
        self._report.failures.append(Failure(unit.unit, error.with_traceback(None), place))
        if unit.job is None:
            return
        if not isinstance(error, StoreAway):  # where notes lie too
            note_failure(unit.job, error, place)
        tell_failure(unit.job, error, place)


def _is_of_all(error: BaseException) -> bool:
    """Whether every shard would fail of it."""
    return isinstance(error, DotpipeError) and not isinstance(error, ShardDamaged)


def _raise_failures(report: StepReport) -> None:
    if not report.failures:
        return
    leave_failures(report)
    for failure in report.failures:
        if _is_of_all(failure.error):
            raise failure.error
    if report.is_cut_short:
        last = report.failures[-1]
        raise ShardsFailed(
            f"the step {report.step!r} was given up, as a store gave no answer to several shards "
            f"in a row; the last was {last.unit}: {last.error}. What is done is kept: run again "
            "when the store is there"
        ) from last.error
    first = report.failures[0]
    raise ShardsFailed(
        f"{len(report.failures)} of {len(report.units)} shards failed in the step "
        f"{report.step!r}; the first was {first.unit}, with {type(first.error).__name__} at "
        f"{first.place}: {first.error}. The others are done, and running again takes up just "
        "these; `dotpipe status CONFIG` says what failed and why"
    ) from first.error
