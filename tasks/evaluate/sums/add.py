"""Adding up the features of a leaf: jobs go in, files of sums come out."""

from pathlib import PurePosixPath

from prefect import task

from tasks.evaluate.features.published import PublishedFiles
from tasks.evaluate.overlap import NOTHING
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.fitted_images import Fit, fitted_keys
from tasks.io.artifacts.feature_sums import save_sums
from tasks.io.artifacts.features import read_apart
from tasks.io.workspace import Signal, dataset_features_folder
from tasks.jobs import Job, Outcome, Target, carry_out, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import advance, at


class SumJob(Job):
    """Add up the features of a leaf, those of images of the fit apart.

    ``shards`` of the data set are those of the leaf, which has so many ``images``; ``sample`` is
    how many images' features are kept for the metrics that need single ones.
    """

    target: Target
    dataset: str
    shards: tuple[str, ...]
    images: int
    fit: Fit
    sample: int

    def tables(self) -> dict[str, list[str]]:
        """The tables of features to add up, by the file that takes their sums."""
        raise NotImplementedError


class SignalSumJob(SumJob):
    """The features of a signal, or of all points of a curve, by one or more networks.

    ``networks`` are those other than the first.
    """

    results: str
    signal: Signal
    points: tuple[Signal, ...]
    networks: tuple[str, ...]

    def tables(self) -> dict[str, list[str]]:
        """Those that were published with the metric tables; none of a network without weights."""
        scores = ScoreTables(self.opened(), self.dataset, self.results, self.signal, self.shards)
        published, leaf = PublishedFiles.of(scores), self.shards[0]
        found = {
            published.sums_of(point, leaf, network): published.features(point, network).paths
            for point in self.points
            for network in ("", *self.networks)
        }
        return {path: tables for path, tables in found.items() if tables}


class ComparedSumJob(SumJob):
    """The features of a data set to compare with, by one network: that of this folder."""

    network: str

    def tables(self) -> dict[str, list[str]]:
        """Those of all shards, for one file."""
        folder = dataset_features_folder(self.dataset, self.network)
        tables = [f"{folder}/{shard}.parquet" for shard in self.shards]
        return {f"{self.target.artifact}.safetensors": tables}


@task(name="add up features", task_run_name="add up {job.target.artifact}", **SHARD_POLICY)
def add_up(job: SumJob) -> Outcome:
    """Write the sums of one leaf, unless they are there already."""
    outcome = carry_out(job, write_sums)
    logger().info("sums of %s %s", job.target.artifact, outcome)
    return outcome


def write_sums(job: SumJob) -> Outcome:
    """Add up the features of a leaf, and publish their sums."""
    workspace, tables = job.opened(), job.tables()
    apart = fitted_keys(workspace, job.fit, job.dataset) or NOTHING
    with publishing(workspace, job.target) as publication:
        for path, paths in tables.items():
            at(f"sums of {PurePosixPath(path).parent}")
            sums = read_apart(workspace.store, paths, job.sample, apart)
            save_sums(sums, publication.file(path), job.target.fingerprint)
        publication.facts["images"] = job.images
    advance(job.images)
    return Outcome(images=job.images)
