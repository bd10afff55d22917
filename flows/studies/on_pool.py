"""The points of a study done by the workers of a work pool, while this process waits for them.

What is missing is known from the ledger, so a study whose process was ended goes on where it was
when it is run again, and waits for runs that workers have taken meanwhile.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from flows.runs.pool import RunRequest, WorkPoolRuns
from flows.runs.prefect_api import has_workers, without_workers
from flows.runs.takeover import cancel_waiting_runs, runs_under_way
from flows.steps.blocks import blocks_of
from flows.steps.screen import screen
from flows.studies.enhance_points import match_points, tell_points
from flows.studies.in_process import Failures, attempt
from tasks.config import Run
from tasks.enhance.several.enhance import plan_together
from tasks.fit.operators import fitted
from tasks.io.errors import ShardsFailed
from tasks.io.ledger import fingerprint
from tasks.jobs.policy import logger
from tasks.study.points import Point

QUEUE = "backfill"
"""The work queue that runs of studies are put in."""

_HINT_S = 20.0
"""Seconds without an end of a run after which it is looked whether there are workers."""

_TOGETHER = 32
"""Points of one run, at most: a server takes parameters of half a megabyte."""


class OnPool:
    """Does the points of a study as runs of a pool's workers, several at once.

    What a command that was ended has submitted is cancelled, as far as no worker has taken it.

    Args:
        points: all of the study, whose first says how many runs go at once (``blocks``).
        name: that the study's deployments have.
        pool: the work pool.
    """

    def __init__(self, points: Sequence[Point], name: str, pool: str) -> None:
        self._numbers = {point.config.name: number for number, point in enumerate(points, start=1)}
        self._blocks = points[0].config.blocks
        deployed = points[0].config.model_copy(update={"name": name})
        self._pool, self._has_hinted, self._told = pool, False, 0
        cancel_waiting_runs(name)
        self._runs = WorkPoolRuns(deployed, QUEUE)
        self._runs.watch(runs_under_way(deployed))

    def fit(self, points: Sequence[Point]) -> Failures:
        """Fit points; of those with restored images in common, each after the one before."""
        groups = dict[str, list[Point]]()
        for point in points:
            groups.setdefault(point.config.restored_name, []).append(point)
        failed = Failures()
        for wave in zip_longest(*groups.values()):
            failed |= self._each("fit-point", [point for point in wave if point is not None])
        return failed

    def enhance(self, group: Sequence[Point]) -> None:
        """Enhance points together in blocks of shards; failures are tried again later."""
        for first in range(0, len(group), _TOGETHER):
            points = group[first : first + _TOGETHER]
            attempt(f"{len(points)} points together", Failures(), self._enhance, points)

    def _enhance(self, points: Sequence[Point]) -> None:
        runs = [Run.of(point.config) for point in points]
        match_points(runs)
        requests, view = list(self._requests(points, runs)), screen.get()
        view.begin(f"enhance {len(points)} points", sum(each.images for each in requests))
        failed = self._runs.run(
            requests,
            at_once=self._blocks.at_once,
            ended=lambda request: view.advance(request.images),
            waited=self._wait,
        )
        view.finish(f"{len(requests) - len(failed)} of {len(requests)} blocks done")
        if requests and not failed:
            tell_points(runs)
        for each in failed:
            logger().error(each.reason)
            view.say(each.reason)

    def finish(self, points: Sequence[Point]) -> Failures:
        """Do all that is missing of points: what was not enhanced yet, evaluation, reports."""
        return self._each("backfill", points)

    def _each(self, flow: str, points: Sequence[Point]) -> Failures:
        """Have a flow run for each point; return why it was given up, by label."""
        requests = [_request(flow, point) for point in points]
        of_run = {request.key: point for request, point in zip(requests, points, strict=True)}
        failed, say = Failures(), screen.get().say
        done = "is fitted" if flow == "fit-point" else "is done"

        def ended(request: RunRequest) -> None:
            point = of_run[request.key]
            number = f"{self._numbers[point.config.name]} of {len(self._numbers)}"
            say(f"point {number} {done}: {point.label}")

        at_once = self._blocks.at_once
        for each in self._runs.run(requests, at_once=at_once, ended=ended, waited=self._wait):
            label = of_run[each.request.key].label
            say(f"{label} could not be done: {each.reason}")
            failed[label] = ShardsFailed(each.reason)
        return failed

    def _wait(self, seconds: float) -> None:
        """Say once that the pool has no worker, and every ``blocks.patience_s`` that nothing ends.

        Args:
            seconds: since a run last ended.
        """
        if seconds > _HINT_S and not self._has_hinted:
            self._has_hinted = True
            if not has_workers(self._pool):
                screen.get().say(without_workers(self._pool))
        multiples = int(seconds / self._blocks.patience_s)
        if multiples > self._told:
            logger().warning("no run of the study has ended for %d s", seconds)
        self._told = multiples

    def _requests(self, points: Sequence[Point], runs: Sequence[Run]) -> Iterator[RunRequest]:
        """Yield a request for every block of shards of which something is missing."""
        configs = [point.config.model_dump(mode="json") for point in points]
        for block in blocks_of(plan_together([fitted(run) for run in runs]), self._blocks):
            shards = [unit.unit for unit in block]
            made = [artifact for unit in block for artifact in unit.artifacts]
            yield RunRequest(
                "enhance-points",
                fingerprint("block", {"points": configs, "shards": shards, "made": made}),
                {"config": configs[0], "others": configs[1:], "shards": shards},
                images=sum(unit.images for unit in block if unit.job is not None),
                name=f"enhance {len(points)} points {shards[0]}",
            )


def _request(flow: str, point: Point) -> RunRequest:
    """Return a request that is the same, and found again, as long as the point is."""
    config = point.config.model_dump(mode="json")
    key = fingerprint("block", {"flow": flow, "config": config})
    return RunRequest(flow, key, {"config": config})
