"""Which points of a study are done."""

from collections.abc import Sequence

from tasks.config import Run
from tasks.fit.operators import fitted
from tasks.pipeline import is_finished
from tasks.report.report import report_artifact
from tasks.study.points import Point


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
