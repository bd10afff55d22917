"""Retire shards: remove all that was made of those that a data set has no more."""

from collections.abc import Collection, Iterator

from prefect import task

from tasks.config import Run
from tasks.io.ledger import Record
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Line
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.shard.index import gone_shards

KINDS = ("datasets", "moments", "enhanced", "metrics", "features")
"""Folders of the workspace that have something of every shard, under the data set's name."""


class RetireJob(Job):
    """Remove these artifacts, and files whose records a killed retirement has removed."""

    records: tuple[Line, ...]
    strays: tuple[str, ...] = ()


@task(name="retire", task_run_name="retire what is gone", **SHARD_POLICY)
def retire_shards(job: RetireJob) -> None:
    """Remove artifacts of shards that are gone; safe to repeat, and at once by two runs."""
    retire(job)
    shards = {artifact.rpartition("/")[2] for artifact, _, _ in job.records}
    logger().info("retired artifacts=%d shards=%s", len(job.records), sorted(shards))


def retire(job: RetireJob) -> None:
    """Remove the artifacts with their records, and the stray files."""
    workspace = job.opened()
    workspace.ledger.retire(map(Record._make, job.records))
    for path in job.strays:
        artifact = path.rpartition(".")[0]
        with workspace.claims.held(artifact) as ours:  # or another run may be making it anew
            if ours and not workspace.ledger.records(artifact):
                workspace.store.remove(path)


def plan_retirement(run: Run) -> RetireJob | None:
    """What was made of shards that data sets have lost; None if there is nothing.

    Just of those that the index names: shards that are in none may be another run's,
    which is about to write one.
    """
    lost = {name: gone for name in run.config.datasets() if (gone := _gone(name, run.workspace))}
    records = tuple(record for name in lost for record in _records(name, lost[name], run.workspace))
    strays = tuple(path for name in lost for path in _strays(name, lost[name], run.workspace))
    if not records and not strays:
        return None
    return RetireJob(workspace=run.workspace.url, records=records, strays=strays)


def _gone(dataset: str, workspace: Workspace) -> set[str]:
    """The shards that a data set had, as its index says."""
    return gone_shards(dataset, workspace.ledger.survey(dataset_folder(dataset)), workspace)


def _records(dataset: str, gone: Collection[str], workspace: Workspace) -> Iterator[Record]:
    for kind in KINDS:
        yield from workspace.ledger.survey(f"{kind}/{dataset}").of_shards(gone)


def _strays(dataset: str, gone: Collection[str], workspace: Workspace) -> Iterator[str]:
    """Files of such shards in the data set's folder that no record vouches for."""
    folder = dataset_folder(dataset)
    vouched = set(workspace.ledger.survey(folder).artifacts())
    for path in sorted(workspace.store.names(folder)):
        artifact = path.rpartition(".")[0]
        if artifact.rpartition("/")[2] in gone and artifact not in vouched:
            yield path
