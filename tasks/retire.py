"""Retire shards: remove all that was made of those that a data set has no more."""

from collections.abc import Iterator

from prefect import task

from tasks.config import Config
from tasks.io.ledger import Record
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Line
from tasks.policy import SHARD_POLICY, logger

KINDS = ("datasets", "moments", "enhanced", "metrics", "features")
"""Folders of the workspace that have something of every shard, under the data set's name."""


class RetireJob(Job):
    """Remove these artifacts."""

    records: tuple[Line, ...]


@task(name="retire", **SHARD_POLICY)
def retire_shards(job: RetireJob) -> None:
    """Remove artifacts of shards that are gone; safe to repeat, and at once by two runs."""
    retire(job)
    shards = {artifact.rpartition("/")[2] for artifact, _, _ in job.records}
    logger().info("retired artifacts=%d shards=%s", len(job.records), sorted(shards))


def retire(job: RetireJob) -> None:
    """Remove the artifacts and their records."""
    job.opened().ledger.retire(map(Record._make, job.records))


def plan_retirement(config: Config, workspace: Workspace) -> RetireJob | None:
    """What was made of shards that data sets have lost; None if there is nothing.

    Just of those that the index names: shards that are in none may be another run's,
    which is about to write one.
    """
    gone = [record for name in config.datasets() for record in _gone(name, workspace)]
    return RetireJob(workspace=workspace.url, records=tuple(gone)) if gone else None


def _gone(dataset: str, workspace: Workspace) -> Iterator[Record]:
    ledger, folder = workspace.ledger, dataset_folder(dataset)
    for index in ledger.survey(folder).records(f"{folder}/index"):
        if gone := set(ledger.facts(index).get("gone", ())):
            for kind in KINDS:
                yield from ledger.survey(f"{kind}/{dataset}").of_shards(gone)
