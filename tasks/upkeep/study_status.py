"""How far each point of a study is, and which are done."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.config import Run
from tasks.fit.operators import fitted
from tasks.pipeline import is_finished
from tasks.report.report import report_artifact
from tasks.study.points import Point
from tasks.upkeep.status import StepStatus, status_of_steps


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
    """Yield how far each point is, in the order of the study; each is planned once."""
    found = [(point, list(status_of_steps(point.config))) for point in points]
    opened = {point.label: [each for each in steps if _is_open(each)] for point, steps in found}
    only_pages = [
        point
        for point in points
        if (steps := opened[point.label]) and all(each.command == "report" for each in steps)
    ]
    if only_pages:  # of points with one report the others lack nothing
        reported = {_report_of(point) for point in points if not opened[point.label]}
        opened |= {each.label: [] for each in only_pages if _report_of(each) in reported}
    for point, steps in found:
        yield _status_of(point, steps, opened[point.label])


def _status_of(point: Point, steps: Sequence[StepStatus], opened: list[StepStatus]) -> PointStatus:
    return PointStatus(
        point.label,
        sum(each.done for each in steps),
        sum(each.missing + each.stale + each.failed for each in opened),
        opened[0].name if opened else "",
        tuple(sentence for each in opened for sentence in (*each.failures, *_hindered(each))),
    )


def _is_open(step: StepStatus) -> bool:
    """Return whether something is left to do of a step, or it is not known what."""
    counted = step.missing + step.stale + step.failed + step.doubtful
    return bool(counted or step.waits or _hindered(step))


def _hindered(step: StepStatus) -> list[str]:
    """Return why the units of a step cannot be counted, where it waits for no other."""
    is_known = step.done or step.doubtful or step.missing or step.stale or step.failed
    return [step.note] if step.note and not step.waits and not is_known else []


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
