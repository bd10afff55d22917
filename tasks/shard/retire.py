"""Retire shards: remove all that was made of those that a data set has no more.

The index of a data set names the shards that are gone; their artifacts, records and left-over
files are removed.
"""

from collections.abc import Collection, Iterator

from prefect import task

from tasks.config import Run
from tasks.io.ledger import Record
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Job, Line
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.shard.dataset import gone_shards

KINDS = ("datasets", "moments", "enhanced", "metrics", "features")
"""Folders of the workspace that have something of every shard, under the data set's name."""


class RetireJob(Job):
    """Remove artifacts of shards that are gone, and files that are left of such ones."""

    records: tuple[Line, ...]
    """Records of the artifacts."""
    strays: tuple[str, ...] = ()
    """Paths of files without a record, as a retirement that was killed leaves them."""


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
    """Return the job that removes what was made of shards that are gone; None if nothing is.

    Only shards that an index names as gone are removed. A shard that is in no index may be
    that of another run, which is about to write one.
    """
    lost = {name: gone for name in run.config.datasets() if (gone := _gone(name, run.workspace))}
    records = tuple(record for name in lost for record in _records(name, lost[name], run.workspace))
    strays = tuple(path for name in lost for path in _strays(name, lost[name], run.workspace))
    if not records and not strays:
        return None
    return RetireJob(workspace=run.workspace.url, records=records, strays=strays)


def _gone(dataset: str, workspace: Workspace) -> set[str]:
    """Return the shards that a data set had and has no more, as its index says."""
    return gone_shards(dataset, workspace.ledger.survey(dataset_folder(dataset)), workspace)


def _records(dataset: str, gone: Collection[str], workspace: Workspace) -> Iterator[Record]:
    for kind in KINDS:
        yield from workspace.ledger.survey(f"{kind}/{dataset}").of_shards(gone)


def _strays(dataset: str, gone: Collection[str], workspace: Workspace) -> Iterator[str]:
    """Yield the files of gone shards in the data set's folder that no record lists."""
    folder = dataset_folder(dataset)
    recorded = set(workspace.ledger.survey(folder).artifacts())
    for path in sorted(workspace.store.names(folder)):
        artifact = path.rpartition(".")[0]
        if artifact.rpartition("/")[2] in gone and artifact not in recorded:
            yield path
