"""Matches: the ground truth of the images to enhance, found by key, shard by shard."""

from collections.abc import Iterator

from prefect import task

from tasks.config import Run
from tasks.io.artifacts.parquet import read_table, write_table
from tasks.io.catalogue import counterparts
from tasks.io.errors import CorpusError
from tasks.io.ledger import digest_of
from tasks.io.shards import Member, members_of
from tasks.io.workspace import Workspace, dataset_folder, matches_folder
from tasks.jobs import Job, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger


class MatchJob(Job):
    """Names the shards whose ground truth is to be found, and where."""

    dataset: str
    reference: str
    by_shard: dict[str, Target]
    """The artifact to make for each shard."""

    def targets(self) -> list[Target]:
        """Return the matches of the shards."""
        return list(self.by_shard.values())

    def claim(self) -> str:
        """Return one name for all matches of the two data sets."""
        return matches_folder(self.dataset, self.reference)


@task(name="match", task_run_name="match {job.dataset} with {job.reference}", **SHARD_POLICY)
def match_reference(job: MatchJob) -> None:
    """Write the missing matches; does nothing where none are missing."""
    settle(job, write_matches)


def plan_matches(run: Run) -> MatchJob | None:
    """Return a job for all shards whose matches are missing.

    Returns:
        None if no matches are missing, or if there is no reference.

    Raises:
        StepMissing: a shard, or the reference, is not finished.
    """
    if run.config.reference_name is None:
        return None
    dataset, reference = run.config.restored_name, run.config.reference_name
    folder = matches_folder(dataset, reference)
    survey = run.workspace.ledger.survey(folder)
    shards = run.workspace.ledger.survey(dataset_folder(dataset))
    truth = run.workspace.ledger.survey(dataset_folder(reference))
    digest = finished_digest(truth, f"{dataset_folder(reference)}/index")
    targets = {}
    for shard in run.workspace.shards(dataset):
        own = finished_digest(shards, f"{dataset_folder(dataset)}/{shard}")
        inputs = {"shard": own, "reference": digest}
        if target := aim(survey, f"{folder}/{shard}", "match", inputs):
            targets[shard] = target
    if not targets:
        return None
    return MatchJob(
        workspace=run.workspace.url, dataset=dataset, reference=reference, by_shard=targets
    )


def match_artifacts(run: Run) -> Iterator[str]:
    """Yield the path of every shard's matches, finished or not."""
    if run.config.reference_name is not None:
        folder = matches_folder(run.config.restored_name, run.config.reference_name)
        yield from (f"{folder}/{shard}" for shard in run.workspace.shards(run.config.restored_name))


def read_matches(
    workspace: Workspace, dataset: str, reference: str, shard: str
) -> dict[str, Member]:
    """Return the ground truth of a shard's images by key; images without one are left out."""
    table = read_table(workspace.store, f"{matches_folder(dataset, reference)}/{shard}.parquet")
    return {m.key: m for m in members_of(table, dataset_folder(reference))}


def write_matches(job: MatchJob) -> int:
    """Look up the keys of each shard in the reference's index; return how many were found."""
    workspace = job.opened()
    restored = workspace.catalogue(job.dataset)
    asking = restored.only([e for e in restored.shards if e.shard in job.by_shard])
    matched = 0
    for entry, table in counterparts(asking, workspace.catalogue(job.reference)):
        target = job.by_shard[entry.shard]
        matched += table.num_rows
        with publishing(workspace, target) as publication:
            write_table(table, publication.file(f"{target.artifact}.parquet"))
            publication.facts |= {"images": entry.accepted, "matched": table.num_rows}
            # Without the place: a reference may move to another shard and stay the same.
            truths = zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True)
            publication.digest = digest_of(list(truths))
    logger().info("matched images=%d reference=%s", matched, job.reference)
    return matched


def require_matches(run: Run) -> None:
    """Check that the reference is the ground truth of at least one image, if there is one.

    Raises:
        CorpusError: the reference and the restored images have no key in common.
    """
    if run.config.reference_name is None:
        return
    names = run.config.restored_name, run.config.reference_name
    if not any(
        read_matches(run.workspace, *names, shard) for shard in run.workspace.shards(names[0])
    ):
        ours, theirs = (next(run.workspace.keys(name), ("nothing", ""))[0] for name in names)
        raise CorpusError(
            "reference must share keys (paths without extension) with the restored images, got "
            f"none in common: {theirs!r} against {ours!r}; rename the files, give "
            "`strip` where names end differently, or leave out corpora.reference"
        )
