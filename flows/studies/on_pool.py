"""The points of a study done by the workers of a work pool, while this process waits for them.

What a run is submitted for is known from the ledger, so a study whose process was ended goes on
where it was when it is run again, and waits for the blocks that are under way.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from uuid import uuid4

from prefect.runtime import flow_run

from flows.runs.pool import RunRequest, WorkPoolRuns
from flows.runs.takeover import runs_under_way
from flows.steps.screen import screen
from flows.studies.enhance_points import match_points
from flows.studies.in_process import Failures
from tasks.config import Run
from tasks.enhance.several.enhance import plan_together
from tasks.fit.operators import fitted
from tasks.io.errors import ShardsFailed
from tasks.io.ledger import fingerprint
from tasks.jobs.policy import logger
from tasks.study.points import Point

QUEUE = "backfill"
"""The work queue that runs of studies are put in."""

_TOGETHER = 32
"""Points of one run, at most: a server takes parameters of half a megabyte."""


class OnPool:
    """Does the points of a study as runs of a pool's workers, several at once.

    Args:
        points: all of the study, whose first says how many runs go at once (``blocks.at_once``).
        name: that the study's deployments have.
    """

    def __init__(self, points: Sequence[Point], name: str) -> None:
        self._numbers = {point.config.name: number for number, point in enumerate(points, start=1)}
        self._blocks = points[0].config.blocks
        deployed = points[0].config.model_copy(update={"name": name})
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
            self._enhance(group[first : first + _TOGETHER])

    def _enhance(self, points: Sequence[Point]) -> None:
        runs = [Run.of(point.config) for point in points]
        match_points(runs)
        requests, view = list(self._requests(points, runs)), screen.get()
        view.begin(f"enhance {len(points)} points", sum(each.images for each in requests))
        failed = self._runs.run(
            requests,
            at_once=self._blocks.at_once,
            ended=lambda request: view.advance(request.images),
        )
        view.finish(f"{len(requests) - len(failed)} of {len(requests)} blocks done")
        for each in failed:
            logger().error(each.reason)
            view.say(each.reason)

    def finish(self, points: Sequence[Point]) -> Failures:
        """Do all that is missing of points: what was not enhanced yet, evaluation, reports."""
        return self._each("backfill", points)

    def _each(self, flow: str, points: Sequence[Point]) -> Failures:
        """Have a flow run for each point; return why it was given up, by label."""
        of_run = {f"{flow_run.get_id() or uuid4()}-{flow}-{p.config.name}": p for p in points}
        requests = [
            RunRequest(flow, key, {"config": point.config.model_dump(mode="json")})
            for key, point in of_run.items()
        ]
        failed, say = Failures(), screen.get().say
        done = "is fitted" if flow == "fit-point" else "is done"

        def ended(request: RunRequest) -> None:
            point = of_run[request.key]
            number = f"{self._numbers[point.config.name]} of {len(self._numbers)}"
            say(f"point {number} {done}: {point.label}")

        for each in self._runs.run(requests, at_once=self._blocks.at_once, ended=ended):
            label = of_run[each.request.key].label
            say(f"{label} could not be done: {each.reason}")
            failed[label] = ShardsFailed(each.reason)
        return failed

    def _requests(self, points: Sequence[Point], runs: Sequence[Run]) -> Iterator[RunRequest]:
        """Yield a request for every block of shards of which something is missing."""
        configs = [point.config.model_dump(mode="json") for point in points]
        units = plan_together([fitted(run) for run in runs])
        for _, numbered in groupby(enumerate(units), lambda unit: unit[0] // self._blocks.shards):
            block = [unit for _, unit in numbered]
            if all(unit.job is None for unit in block):
                continue
            shards = [unit.unit for unit in block]
            made = [artifact for unit in block for artifact in unit.artifacts]
            yield RunRequest(
                "enhance-points",
                fingerprint("block", {"points": configs, "shards": shards, "made": made}),
                {"config": configs[0], "others": configs[1:], "shards": shards},
                images=sum(unit.images for unit in block if unit.job is not None),
                name=f"enhance {len(points)} points {shards[0]}",
            )
