"""The fidelity of each signal: means with errors, and distances of features to a reference."""

import json
import math
from collections.abc import Collection, Iterator
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from prefect import task

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.metrics import (
    ClassSums,
    FeatureStatistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    kernel_subset_size,
    pairing_bias,
    precision_recall,
)
from tasks.config import Run
from tasks.enhance.outputs import LATENT_PATCHES
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.artifacts.features import read_class_sums, read_statistics
from tasks.io.artifacts.metrics import METRICS
from tasks.io.artifacts.moments import read_moments
from tasks.io.artifacts.parquet import read_table
from tasks.io.ledger import digest_of
from tasks.io.machine.threads import side_by_side
from tasks.io.networks.extractors import extractor_identity, feature_folder
from tasks.io.workspace import (
    CURVE,
    Signal,
    Workspace,
    dataset_features_folder,
    features_folder,
    metrics_folder,
    points_of,
    signals_folder,
)
from tasks.jobs import Job, Outcome, Planned, Target, aim, carry_out, finished_digest, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import advance


class FidelityJob(Job):
    """The fidelity of one signal, or of all points of the curve."""

    target: Target
    dataset: str
    operator: str
    signal: Signal
    points: tuple[Signal, ...]
    shards: tuple[str, ...]
    reference: tuple[str, ...]
    reference_digest: str
    sample: int
    images: int


@task(name="fidelity", task_run_name="fidelity of {job.signal.label}", **SHARD_POLICY)
def measure_fidelity(job: FidelityJob) -> Outcome:
    """Write the rows of one signal; safe to repeat."""
    outcome = carry_out(job, _measure)
    logger().info("fidelity of %s %s", job.signal.folder, outcome)
    return outcome


def plan_fidelity(run: FittedRun) -> Iterator[Planned]:
    """A unit for every signal.

    Raises:
        StepMissing: some metrics or features have not been computed.
    """
    dataset = run.config.restored_name
    folder = signals_folder(dataset, run.operator.name)
    survey = run.workspace.ledger.survey(folder)
    tables = run.workspace.ledger.survey(metrics_folder(dataset, run.operator.name))
    shards = run.workspace.shards(dataset)
    reference = _reference(run)
    for signal in signals_to_score(run.config):
        scores = metrics_folder(dataset, run.operator.name, signal)
        inputs = {
            "operator": run.operator.digest,
            "scores": [finished_digest(tables, f"{scores}/{s}", "evaluate") for s in shards],
            "reference": list(reference.values()),
            "sample": run.config.evaluate.sample,
            "torch-fidelity": version("torch-fidelity"),
        }
        target = aim(survey, f"{folder}/{signal.folder}", "fidelity", inputs)
        artifacts = (f"{folder}/{signal.folder}",)
        if target is None:
            yield Planned(signal.label, sum(shards.values()), None, artifacts)
            continue
        job = FidelityJob(
            workspace=run.workspace.url,
            target=target,
            dataset=dataset,
            operator=run.operator.name,
            signal=signal,
            points=points_of(signal, run.config.curve_alphas),
            shards=tuple(shards),
            reference=tuple(f"{artifact}.parquet" for artifact in reference),
            reference_digest=digest_of(list(reference.values())),
            sample=run.config.evaluate.sample,
            images=sum(shards.values()),
        )
        yield Planned(signal.label, sum(shards.values()), job, artifacts)


def read_fidelity(workspace: Workspace, artifact: str) -> list[dict[str, Any]]:
    """The rows of one signal."""
    rows: list[dict[str, Any]] = json.loads(workspace.store.read(f"{artifact}.json"))
    return rows


def write_fidelity(job: FidelityJob) -> list[dict[str, Any]]:
    """Average the tables of a signal, and compare its features with the reference's."""
    workspace = job.opened()
    natural = read_operator(workspace, job.dataset, job.operator)[1]["target"]
    with publishing(workspace, job.target) as publication:
        means, files = _means(job, workspace), _vouched(job, workspace)
        rows = [
            {
                "signal": point.name,
                "alpha": point.alpha,
                **means[point.alpha],
                "gelbrich": _gelbrich(_paths(job, point, files), natural, workspace),
                **_features(_paths(job, point, files), job, workspace),
            }
            for point in job.points
        ]
        text = json.dumps(rows, indent=1)
        publication.file(f"{job.target.artifact}.json").write_text(text)
    advance(job.images)
    return rows


def _measure(job: FidelityJob) -> Outcome:
    write_fidelity(job)
    return Outcome(images=job.images)


def _reference(run: Run) -> dict[str, str]:
    """The feature tables to compare with, and their digests; none without a network."""
    network = run.config.evaluate.features
    identity = None if network is None else extractor_identity(network, run.config.weights)
    if identity is None:
        return {}
    folder = dataset_features_folder(run.config.against_name, feature_folder(identity))
    survey = run.workspace.ledger.survey(folder)
    shards = run.workspace.shards(run.config.against_name)
    artifacts = [f"{folder}/{shard}" for shard in shards]
    return {artifact: finished_digest(survey, artifact, "evaluate") for artifact in artifacts}


def _means(job: FidelityJob, workspace: Workspace) -> dict[float | None, dict[str, Any]]:
    """Of each alpha in the tables of the signal: images, means of metrics, their errors."""
    totals = {point.alpha: _Means() for point in job.points}
    folder = metrics_folder(job.dataset, job.operator, job.signal)
    columns = ["alpha", "status", *METRICS]
    paths = (f"{folder}/{shard}.parquet" for shard in job.shards)
    for table in side_by_side(partial(read_table, workspace.store, columns=columns), paths):
        for alpha, total in totals.items():
            own = pc.equal(table["alpha"], alpha) if job.signal == CURVE else None
            total.add(table if own is None else table.filter(own))
    return {alpha: total.row() for alpha, total in totals.items()}


class _Means:
    """Means of the metrics over images, with the bootstrap's standard error.

    The standard deviation of a bootstrapped mean has a closed form, that of the images
    over √n; no replicates are drawn. Images equal to their reference have an infinite
    PSNR; they count only where all do.
    """

    def __init__(self) -> None:
        self._images = 0
        self._moments = {name: GaussianMoments.zero(1) for name in METRICS}
        self._infinite = dict.fromkeys(METRICS, 0)

    def add(self, table: pa.Table) -> None:
        self._images += pc.sum(pc.equal(table["status"], "ok")).as_py() or 0
        for name in METRICS:
            column = pc.drop_null(table[name]).to_numpy()
            finite = column[np.isfinite(column)]
            self._infinite[name] += len(column) - len(finite)
            part = GaussianMoments.of(torch.from_numpy(np.array(finite))[:, None])
            self._moments[name] = self._moments[name] + part

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"images": self._images}
        for name, moments in self._moments.items():
            row[name] = float(moments.mean) if moments.count else None
            if not moments.count and self._infinite[name]:
                row[name] = math.inf
            several = moments.count > 1
            row[f"{name}_error"] = math.sqrt(moments.scatter) / moments.count if several else None
        return row


def _vouched(job: FidelityJob, workspace: Workspace) -> frozenset[str]:
    """The files that belong to the tables of a signal as they are now."""
    folder = metrics_folder(job.dataset, job.operator, job.signal)
    survey = workspace.ledger.survey(folder)
    records = (survey.records(f"{folder}/{shard}")[-1] for shard in job.shards)
    bodies = side_by_side(workspace.ledger.facts, records)
    return frozenset(path for facts in bodies for path in facts["files"])


class _Paths(NamedTuple):
    """The files of one signal, in the order of shards."""

    features: list[str]
    classes: list[str]
    latents: list[str]


def _paths(job: FidelityJob, point: Signal, files: Collection[str]) -> _Paths:
    """What there is of a signal; earlier runs may have left files of more."""
    folder = features_folder(job.dataset, job.operator, point)
    return _Paths(
        *(
            [path for shard in job.shards if (path := f"{folder}/{shard}.{ending}") in files]
            for ending in ("parquet", "classes.safetensors", "safetensors")
        )
    )


def _gelbrich(paths: _Paths, natural: GaussianMoments, workspace: Workspace) -> float | None:
    """The distance of a signal's latent patches to the natural ones, if they were kept."""
    total = GaussianMoments.zero(natural.dimension)
    for parts in side_by_side(partial(read_moments, workspace.store), paths.latents):
        total = total + parts[LATENT_PATCHES]
    return gelbrich_distance(total, natural) if total.count > 1 else None


def _features(paths: _Paths, job: FidelityJob, workspace: Workspace) -> dict[str, Any]:
    """What the features of a signal say; nothing where there are none."""
    images = read_statistics(workspace.store, paths.features, job.sample)
    if images is None or not job.reference:
        return {"featured": images.count if images else 0}
    reference = _reference_statistics(workspace, job.reference, job.reference_digest, job.sample)
    if reference is None or min(images.count, reference.count) < 2:
        return {"featured": images.count}
    facts = {
        "featured": images.count,
        "reference_images": reference.count,
        "dimension": reference.groups[0].dimension,
    }
    if job.signal == CURVE:  # the other metrics would cost minutes for each of its points
        return facts | {"frechet": gelbrich_distance(images.moments, reference.moments)}
    sums = read_class_sums(workspace.store, paths.classes)
    return facts | _distances(images, reference) | _inception(sums)


def _distances(images: FeatureStatistics, reference: FeatureStatistics) -> dict[str, Any]:
    """Of the features of a signal to the reference's."""
    frechet = frechet_distance(images, reference)
    row: dict[str, Any] = {
        "frechet": frechet.value,
        "frechet_error": frechet.error,
        "frechet_extrapolated": frechet.extrapolated,
    }
    size = kernel_subset_size(len(images.features), len(reference.features))
    if kernel := kernel_distance(images.features, reference.features, subset_size=size):
        row |= {"kernel": kernel.value, "kernel_spread": kernel.error, "subset_size": size}
        if (bias := pairing_bias(images, reference)) is not None:
            row["kernel_corrected"] = kernel.value - bias
    if shares := precision_recall(images.features, reference.features):
        row |= {"precision": shares[0], "recall": shares[1]}
    return row


def _inception(sums: ClassSums | None) -> dict[str, Any]:
    """The Inception Score, where the network has classes."""
    score = None if sums is None else inception_score(sums)
    if score is None:
        return {}
    return {"inception_score": score.value, "inception_score_spread": score.error}


@lru_cache(maxsize=1)
def _reference_statistics(
    workspace: Workspace, paths: tuple[str, ...], _digest: str, capacity: int
) -> FeatureStatistics | None:
    """Of the images to compare with; read once per process."""
    return read_statistics(workspace.store, paths, capacity)
