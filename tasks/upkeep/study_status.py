"""How far each point of a study is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tasks.study.points import Point
from tasks.study.progress import unfinished
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
