"""A study: every point of a grid is run as any run is, then table, figure and page are written."""

from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError

from prefect import flow

from flows.backfill import backfill
from flows.fit_transport import fit_transport
from flows.restore_dataset import restore_dataset
from flows.shard_corpus import shard_corpus
from flows.steps.screen import screen
from flows.studies.enhance_points import enhance_points
from flows.train_restorer import train_restorer
from tasks.config import Config
from tasks.io.errors import DotpipeError, ShardsFailed
from tasks.jobs.policy import logger
from tasks.report.study.page import write_study
from tasks.study.points import Point, enhanced_together, points_of
from tasks.study.study_file import Study
from tasks.upkeep.study_status import unfinished


@flow(name="study", flow_run_name="study {study.name}")
def run_study(study: Study) -> None:
    """Do what is missing of every point, and write the results of all of them.

    First all points are fitted, in their order, so that later ones find what they share with
    earlier ones. Then those that have restored images and codec in common are enhanced together.
    Then each is evaluated. A point that fails does not stop the others.

    Raises:
        ConfigurationError: the base cannot be read, or a point breaks a rule.
        ShardsFailed: some points could not be done; the others are.
    """
    points = points_of(study)
    missing = unfinished(points)
    failed = dict[str, Exception]()
    for point in missing:
        _say(f"point {points.index(point) + 1} of {len(points)}: {point.label}")
        _attempt(point.label, failed, _fit, point.config)
    whole = [point for point in missing if point.label not in failed]
    for group in enhanced_together(whole):
        first, *others = (point.config for point in group)
        if others:  # what fails here is tried again below, and told of its own point
            _attempt(f"{len(group)} points together", {}, enhance_points, first, others)
    for point in whole:
        _say(f"results of {point.label}")
        _attempt(point.label, failed, backfill, point.config)
    write_study(study, {label: str(error) for label, error in failed.items()})
    _require_whole(study, points, failed)


def _fit(config: Config) -> None:
    """Do all of a point that goes before its images are enhanced."""
    shard_corpus(config)
    train_restorer(config)
    restore_dataset(config)
    fit_transport(config)


def _attempt(
    label: str, failed: dict[str, Exception], work: Callable[..., object], *arguments: object
) -> None:
    """Do some work; note what it raises under the point's label, and go on."""
    try:
        work(*arguments)
    except CancelledError:
        raise
    except (DotpipeError, OSError) as error:
        logger().error("%s: %s", label, error)
        _say(f"{label} could not be done: {error}")
        failed[label] = error


def _require_whole(study: Study, points: Iterable[Point], failed: dict[str, Exception]) -> None:
    """Raise an error if some points could not be done."""
    if not failed:
        return
    label, first = next(iter(failed.items()))
    raise ShardsFailed(
        f"{len(failed)} of {len(list(points))} points of the study {study.name!r} could not be "
        f"done; the first is {label}: {first}. What is done is kept, and running again takes up "
        "the rest"
    ) from first


def _say(sentence: str) -> None:
    screen.get().say(sentence)
