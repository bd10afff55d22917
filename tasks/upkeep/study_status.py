"""How far each point of a study is, and which are done."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.config import Run
from tasks.fit.operators import fitted
from tasks.pipeline import is_finished
from tasks.report.report import report_artifact
from tasks.study.points import Point
from tasks.upkeep.status import status_of_steps


class PointStatus(NamedTuple):
    """How far a point is."""

    point: str
    """Its values in words."""
    done: int
    """Units of all steps that are done."""
    missing: int
    """Units that are missing, out of date or failed."""
    first: str
    """The first step that is not done; empty if all are."""
    failures: tuple[str, ...]
    """What has failed, and why."""


def status_of_points(points: Sequence[Point]) -> Iterator[PointStatus]:
    """Yield how far each point is, in the order of the study."""
    missing = {point.label for point in unfinished(points)}
    for point in points:
        steps = list(status_of_steps(point.config))
        if point.label not in missing:
            yield PointStatus(point.label, sum(each.done for each in steps), 0, "", ())
            continue
        opened = [
            each.name
            for each in steps
            if each.missing or each.stale or each.failed or each.doubtful or each.waits
        ]
        yield PointStatus(
            point.label,
            sum(each.done for each in steps),
            sum(each.missing + each.stale + each.failed for each in steps),
            opened[0] if opened else "",
            tuple(sentence for each in steps for sentence in each.failures),
        )


def unfinished(points: Sequence[Point]) -> list[Point]:
    """Return the points of which something is missing, in their order.

    Points whose options come to the same operator, as patches of 1 and of the codec's default may,
    have one report, which shows the options of one. The others lack nothing but that.
    """
    missing = [point for point in points if not is_finished(point.config)]
    labels = {point.label for point in missing}
    reported = {_report_of(point) for point in points if point.label not in labels}
    return [
        point
        for point in missing
        if not is_finished(point.config, "evaluate") or _report_of(point) not in reported
    ]


def _report_of(point: Point) -> str:
    return report_artifact(fitted(Run.of(point.config)))
