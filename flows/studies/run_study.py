"""A study: every point of a grid is run as any run is, then table, figure and page are written."""

from collections.abc import Iterable

from prefect import flow

from flows.studies.in_process import Failures, InProcess
from flows.studies.on_pool import OnPool
from tasks.io.errors import ShardsFailed
from tasks.report.study.page import write_study
from tasks.study.points import Point, enhanced_together, points_of
from tasks.study.study_file import Study
from tasks.upkeep.study_status import unfinished


@flow(name="study", flow_run_name="study {study.name}")
def run_study(study: Study, pool: str | None = None) -> None:
    """Do what is missing of every point, and write the results of all of them.

    First all points are fitted, in their order, so that later ones find what they share with
    earlier ones. Then those that have restored images and codec in common are enhanced together.
    Then each is evaluated. A point that fails does not stop the others.

    Args:
        study: the study.
        pool: the work pool whose workers do the points, for which the study is deployed; by
            default this process does them.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
        ShardsFailed: some points could not be done; the others are.
    """
    points = points_of(study)
    missing = unfinished(points)
    doing = InProcess(points) if pool is None else OnPool(points, study.deployed, pool)
    failed = doing.fit(missing)
    whole = [point for point in missing if point.label not in failed]
    for group in enhanced_together(whole):
        doing.enhance(group)
    failed |= doing.finish(whole)
    write_study(study, {label: str(error) for label, error in failed.items()})
    _require_whole(study, points, failed)


def _require_whole(study: Study, points: Iterable[Point], failed: Failures) -> None:
    """Raise an error if some points could not be done."""
    if not failed:
        return
    label, first = next(iter(failed.items()))
    raise ShardsFailed(
        f"{len(failed)} of {len(list(points))} points of the study {study.name!r} could not be "
        f"done; the first is {label}: {first}. What is done is kept, and running again takes up "
        "the rest"
    ) from first
