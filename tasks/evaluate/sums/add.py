"""Adding up the features of a leaf: jobs go in, files of sums come out."""

from pathlib import PurePosixPath

from prefect import task

from tasks.evaluate.features.published import PublishedFiles
from tasks.evaluate.overlap import NOTHING
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.fitted_images import Fit, fitted_keys
from tasks.io.artifacts.feature_sums import save_feature_sums
from tasks.io.artifacts.features import read_apart
from tasks.io.errors import StepMissing
from tasks.io.workspace import Signal, Workspace, dataset_features_folder, metrics_folder
from tasks.jobs import Job, Outcome, Target, carry_out, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import advance, at


class SumJob(Job):
    """Add up the features of a leaf, those of images of the fit apart.

    ``shards`` of the data set are those of the leaf, which has so many ``images``; ``digests`` are
    those that the records of their features must have. ``sample`` is how many images' features
    are kept for the metrics that need single ones.
    """

    target: Target
    dataset: str
    shards: tuple[str, ...]
    digests: tuple[str, ...]
    images: int
    fit: Fit
    sample: int


class SignalSumJob(SumJob):
    """The features of a signal, or of all points of a curve, by one or more networks.

    ``networks`` are those other than the first.
    """

    results: str
    signal: Signal
    points: tuple[Signal, ...]
    networks: tuple[str, ...]


class ComparedSumJob(SumJob):
    """The features of a data set to compare with, by one network: that of this folder."""

    network: str


AnySumJob = SignalSumJob | ComparedSumJob


@task(name="add up features", task_run_name="add up {job.target.artifact}", **SHARD_POLICY)
def add_up(job: AnySumJob) -> Outcome:
    """Write the sums of one leaf, unless they are there already."""
    outcome = carry_out(job, write_sums)
    logger().info("sums of %s %s", job.target.artifact, outcome)
    return outcome


def write_sums(job: AnySumJob) -> Outcome:
    """Add up the features of a leaf, and publish their sums.

    Raises:
        StepMissing: the features are others than those that were planned with.
    """
    workspace, tables = job.opened(), _tables_of(job)
    fitted = fitted_keys(workspace, job.fit, job.dataset) or NOTHING
    with publishing(workspace, job.target) as publication:
        for path, paths in tables.items():
            at(f"sums of {PurePosixPath(path).parent}")
            sums = read_apart(workspace.store, paths, job.sample, fitted)
            save_feature_sums(sums, publication.file(path), job.target.fingerprint)
        _require_unchanged(job, workspace)
        publication.facts["images"] = job.images
    advance(job.images)
    return Outcome(images=job.images)


def _tables_of(job: AnySumJob) -> dict[str, list[str]]:
    """The tables of features to add up, by the file that takes their sums.

    Of a signal they are those that were published with its metric tables; there are none of a
    network without weights.
    """
    if isinstance(job, ComparedSumJob):
        tables = [f"{_of_records(job)}/{shard}.parquet" for shard in job.shards]
        return {f"{job.target.artifact}.safetensors": tables}
    scores = ScoreTables(job.opened(), job.dataset, job.results, job.signal, job.shards)
    published, leaf = PublishedFiles.of(scores), job.shards[0]
    found = {
        published.sums_of(point, leaf, network): published.features(point, network).paths
        for point in job.points
        for network in ("", *job.networks)
    }
    return {path: tables for path, tables in found.items() if tables}


def _of_records(job: AnySumJob) -> str:
    """The folder of the artifacts that features were published with."""
    if isinstance(job, ComparedSumJob):
        return dataset_features_folder(job.dataset, job.network)
    return metrics_folder(job.dataset, job.results, job.signal)


def _require_unchanged(job: AnySumJob, workspace: Workspace) -> None:
    """Check that no other run has published other features meanwhile.

    Raises:
        StepMissing: one has.
    """
    folder = _of_records(job)
    survey = workspace.ledger.survey(folder)
    for shard, digest in zip(job.shards, job.digests, strict=True):
        if digest not in {record.digest for record in survey.records(f"{folder}/{shard}")}:
            raise StepMissing(
                f"the features of {folder}/{shard} must stay while they are added up, but another "
                "run has made others; run `dotpipe run CONFIG` again"
            )
