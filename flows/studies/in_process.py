"""The points of a study done in this process, one after the other."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError

from flows.backfill import backfill
from flows.steps.screen import screen
from flows.studies.enhance_points import enhance_points
from flows.studies.fit_point import fit_point
from tasks.io.errors import DotpipeError
from tasks.jobs.policy import logger
from tasks.study.points import Point

Failures = dict[str, Exception]
"""Why points could not be done, by their labels."""


class InProcess:
    """Does the points of a study with the threads of this process, or on a Ray cluster.

    Args:
        points: all of the study.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points

    def fit(self, points: Sequence[Point]) -> Failures:
        """Fit points in their order, so that later ones find what they share with earlier ones."""
        failed = Failures()
        for point in points:
            number = self._points.index(point) + 1
            screen.get().say(f"point {number} of {len(self._points)}: {point.label}")
            attempt(point.label, failed, fit_point, point.config)
        return failed

    def enhance(self, group: Sequence[Point]) -> None:
        """Enhance points together; what fails is tried again when they are finished."""
        first, *others = (point.config for point in group)
        if others:
            attempt(f"{len(group)} points together", Failures(), enhance_points, first, others)

    def finish(self, points: Sequence[Point]) -> Failures:
        """Do all that is missing of points: what was not enhanced yet, evaluation, reports."""
        failed = Failures()
        for point in points:
            screen.get().say(f"results of {point.label}")
            attempt(point.label, failed, backfill, point.config)
        return failed


def attempt(label: str, failed: Failures, work: Callable[..., object], *arguments: object) -> None:
    """Do some work; note what it raises under the point's label, and go on."""
    try:
        work(*arguments)
    except CancelledError:
        raise
    except (DotpipeError, OSError) as error:
        logger().error("%s: %s", label, error)
        screen.get().say(f"{label} could not be done: {error}")
        failed[label] = error
