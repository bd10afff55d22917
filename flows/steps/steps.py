"""Running a step: its jobs are submitted in a window, counted, and fail together."""

from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
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
from tasks.config.step_names import units_in_words
from tasks.io.errors import (
    DotpipeError,
    ShardDamaged,
    ShardsFailed,
    StepMissing,
    StoreAway,
    can_heal,
    place_of,
)
from tasks.jobs import Outcome, Planned, note_failure
from tasks.jobs.events import tell_failure
from tasks.jobs.policy import logger
from tasks.jobs.progress import reporting_to

_AWAY_IN_A_ROW = 2
"""Shards in a row that fail because their store is away, after which the step is given up.

Each has been retried for minutes by then. Where more jobs than this are under way at once, as
many of them must fail so."""


def run_step(
    step: StepRun,
    work: Task[Any, Outcome],
    units: Iterable[Planned],
    lanes: Lanes,
    total: int | None = None,
) -> StepReport:
    """Run the jobs of a step, one in each lane at a time, and wait for all of them.

    A shard that fails does not stop the others. What stops the step is an error that every
    shard would meet (a DotpipeError other than ShardDamaged), and a store that stays away for
    several shards in a row.

    Args:
        step: the step, as messages and events name it.
        work: the task; its one parameter is ``job``.
        units: planned units; those without a job are done already, and only counted.
        lanes: where the tasks run, and how many at once.
        total: the number of images of all units, if it is known.

    Raises:
        DotpipeError: the error that every shard would meet.
        ShardsFailed: some shards failed, after the others were done; or the step was given
            up because a store was away.
    """
    view, report, watch = screen.get(), StepReport(step.name), StepWatch(step, total)
    view.begin(step.name, total)
    with lanes.opened() as runner, progress_shown(step.name):
        _Window(work, runner, lanes, report, watch).run(units)
    watch.finish(report)
    view.finish(report.note)
    _raise_failures(report)
    return report


@contextmanager
def progress_shown(step: str) -> Iterator[None]:
    """Show what tasks report of their images; stop the tasks once the block has failed."""
    view, stopped = screen.get(), Event()

    def advance(images: int) -> None:
        if stopped.is_set():  # else Prefect would wait until jobs end that nobody wants any more
            raise CancelledError(f"the step {step!r} was stopped; run again to go on")
        view.advance(images)

    def say(sentence: str) -> None:
        logger().warning(sentence)
        view.say(sentence)

    with reporting_to(advance, say, view.at):
        try:
            yield
        except BaseException:
            stopped.set()
            raise


class _Window:
    """Submits the jobs of a step, as many at once as there are lanes, and counts their outcomes."""

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
        """Shards in a row, up to the last one, that failed because their store was away."""

    def run(self, units: Iterable[Planned]) -> None:
        """Submit the jobs in a window, then wait for those that other runs have claimed.

        The second time a job waits until the other run has made the shard or given it up.
        """
        for unit in units:
            self._report.units.append(unit.unit)
            if unit.job is None:
                self._count(unit)
            elif not self._offer(unit):
                break
        self._drain()
        while self._busy and not self._must_stop():
            unit, *self._busy = self._busy
            if unit.job is not None:
                patient = unit.job.model_copy(update={"patient": True})
                self._offer(unit._replace(job=patient))
            if not self._busy:
                self._drain()

    def _offer(self, unit: Planned) -> bool:
        """Submit a job when there is room, and return whether the step goes on."""
        while self._pending >= self._lanes.at_once:
            self._collect()
        if self._must_stop():
            return False
        future = self._runner.submit(self._work, {"job": unit.job})
        future.add_done_callback(partial(self._put, unit))
        self._pending += 1
        return True

    def _put(self, unit: Planned, future: PrefectFuture[Outcome]) -> None:
        self._done.put((unit, future))

    def _drain(self) -> None:
        while self._pending:
            self._collect()

    def _must_stop(self) -> bool:
        return self._report.is_cut_short or any(
            _is_shared(failure.error) for failure in self._report.failures
        )

    def _count(self, unit: Planned) -> None:
        """Count a unit that was done already."""
        self._report.images += unit.images
        screen.get().pass_by(unit.images)

    def _collect(self) -> None:
        """Wait for the next job to end, and count its outcome."""
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
            self._report.count(outcome, None if unit.job is None else unit.job.subject())
            if not self._lanes.reports_progress:
                screen.get().advance(outcome.images)
            self._watch.show(self._report)

    def _fail(self, unit: Planned, error: BaseException) -> None:
        place = place_of(error)
        # The traceback would keep the shard's pictures and tensors in memory.
        self._report.failures.append(Failure(unit.unit, error.with_traceback(None), place))
        if unit.job is None:
            return
        if not isinstance(error, StoreAway):  # the note would go to the same store
            note_failure(unit.job, error, place)
        tell_failure(unit.job, error, place)


def _is_shared(error: BaseException) -> bool:
    """Whether every shard would fail with this error."""
    return isinstance(error, DotpipeError) and not isinstance(error, ShardDamaged)


def _raise_failures(report: StepReport) -> None:
    if not report.failures:
        return
    leave_failures(report)
    for failure in report.failures:
        is_first = failure is report.failures[0]
        if _is_shared(failure.error) and (is_first or not isinstance(failure.error, StepMissing)):
            raise failure.error  # of a unit that waits for one that has failed, that one's counts
    if report.is_cut_short:
        last = report.failures[-1]
        raise ShardsFailed(
            f"the step {report.step!r} was given up, as a store gave no answer to several shards "
            f"in a row; the last was {last.unit}: {last.error}. What is done is kept: run again "
            "when the store is there"
        ) from last.error
    first = report.failures[0]
    units = units_in_words(report.step)
    can_pass = next((one for one in report.failures if can_heal(one.error)), first)
    raise ShardsFailed(
        f"{len(report.failures)} of {len(report.units)} {units} failed in the step "
        f"{report.step!r}; the first was {first.unit}, with {type(first.error).__name__} at "
        f"{first.place}: {first.error}. The others are done, and running again takes up just "
        "these; `dotpipe status CONFIG` says what failed and why"
    ) from can_pass.error  # run again, some shards may succeed
