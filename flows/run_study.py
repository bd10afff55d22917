"""A study: every point of a grid is run as any run is, then table, figure and page are written."""

from prefect import flow

from flows.backfill import backfill
from flows.steps.screen import screen
from tasks.io.errors import DotpipeError, ShardsFailed
from tasks.jobs.policy import logger
from tasks.pipeline import is_finished
from tasks.report.study.page import study_address, write_study
from tasks.study.points import points_of
from tasks.study.study_file import Study


@flow(name="study", flow_run_name="study {study.name}")
def run_study(study: Study) -> str:
    """Do what is missing of every point, and write the results of all of them.

    A point that fails does not stop the others. They are run in their order, so that later ones
    find what they share with earlier ones.

    Returns:
        the address of the study's page.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
        ShardsFailed: some points could not be done; the others are.
    """
    points, failed = points_of(study), list[tuple[str, Exception]]()
    for number, point in enumerate(points, start=1):
        if is_finished(point.config):
            continue
        screen.get().say(f"point {number} of {len(points)}: {point.label}")
        try:
            backfill(point.config)
        except (DotpipeError, OSError) as error:
            logger().error("%s: %s", point.label, error)
            failed.append((point.label, error))
    write_study(study)
    if failed:
        label, first = failed[0]
        raise ShardsFailed(
            f"{len(failed)} of {len(points)} points of the study {study.name!r} could not be done; "
            f"the first is {label}: {first}. What is done is kept, and running again takes up the "
            "rest"
        ) from first
    return study_address(study)
