"""Gather the fidelity of every signal in one table, with what a reader must know of it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from prefect import task

from tasks.config import Config
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.features.distances import compared_with
from tasks.evaluate.features.sizes import size_warnings, sizes_of
from tasks.evaluate.fidelity import read_fidelity
from tasks.evaluate.overlap import overlap_facts
from tasks.evaluate.score_tables import ScoreTables, of_packages
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric import NAMES
from tasks.io.artifacts.metrics import fidelity_schema
from tasks.io.artifacts.more_metrics import MORE_NETWORKS, distance_of
from tasks.io.artifacts.parquet import facts_of, read_schema, read_table, write_table
from tasks.io.networks.features.extractors import FIRST, extractor_identity, extractor_names
from tasks.io.networks.features.judges import judge_facts
from tasks.io.networks.features.perceptual import lpips_identity, lpips_name
from tasks.io.networks.weights import Weights
from tasks.io.workspace import (
    Signal,
    Workspace,
    reports_folder,
    signals_folder,
)
from tasks.jobs import Job, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.shard.bad_images import require_few_bad


class SummaryJob(Job):
    """Gather the fidelity of all signals.

    ``names`` are those of the metrics, as ``metric_names`` gives them, and what metric tables say
    of others.
    """

    target: Target
    dataset: str
    results: str
    signals: tuple[Signal, ...]
    shards: tuple[str, ...]
    max_bad_fraction: float
    names: dict[str, str]


@task(name="summarise", task_run_name="summarise {job.dataset}", **SHARD_POLICY)
def summarise(job: SummaryJob) -> None:
    """Write the fidelity table, unless it is there already."""
    settle(job, write_summary)
    logger().info("summarised signals=%d shards=%d", len(job.signals), len(job.shards))


def plan_summary(run: FittedRun) -> tuple[str, SummaryJob | None]:
    """The artifact that holds the table, and the job that makes it if it is missing.

    Raises:
        StepMissing: the fidelity of some signals has not been measured.
    """
    dataset = run.config.restored_name
    reports = run.workspace.ledger.survey(reports_folder(dataset, run.results))
    shards = tuple(run.workspace.shards(dataset))
    signals = signals_to_score(run.config)
    folder = signals_folder(dataset, run.results)
    digests = [finished_digest(reports, f"{folder}/{each.folder}", "evaluate") for each in signals]
    names = metric_names(run.config)
    if of_packages(run.config.evaluate):
        tables = ScoreTables(run.workspace, dataset, run.results, signals[0], shards)
        names |= tables.facts()
    inputs: dict[str, Any] = {
        "signals": digests,
        "shards": shards,
        "max_bad_fraction": run.config.shards.max_bad_fraction,
        "names": names,
        **of_packages(run.config.evaluate),
    }
    artifact = summary_artifact(run)
    target = aim(reports, artifact, "summarise", inputs)
    if target is None:
        return artifact, None
    job = SummaryJob(
        workspace=run.workspace.url,
        target=target,
        dataset=dataset,
        results=run.results,
        signals=signals,
        shards=shards,
        max_bad_fraction=run.config.shards.max_bad_fraction,
        names=names,
    )
    return artifact, job


def summary_artifact(run: FittedRun) -> str:
    """The artifact that holds the fidelity table."""
    return f"{reports_folder(run.config.restored_name, run.results)}/fidelity"


def metric_names(config: Config) -> dict[str, str]:
    """What the metrics are called, and the digests of the weights that this depends on."""
    lpips, networks = config.evaluate.lpips, config.evaluate.networks
    names, weights = dict[str, str](), Weights.of(config.weights)
    if networks:
        names |= compared_with(config)
    if lpips is not None:
        names["lpips_name"] = lpips_name(lpips, weights)
        names |= _digest("lpips", lpips_identity(lpips, weights))
    for judge in config.judges:
        names |= judge_facts(judge, weights)
    for name, network in networks.items():
        called = extractor_names(network, weights)
        if name == FIRST:
            names |= {"network": network}
            names |= {f"{kind}_name": each for kind, each in called._asdict().items()}
        else:
            names[f"{distance_of(network).column}_name"] = called.frechet
        names |= _digest(name, extractor_identity(network, weights))
    others = [name for name in networks if name != FIRST]
    return names | ({MORE_NETWORKS: ", ".join(others)} if others else {})


def _digest(metric: str, identity: Mapping[str, str] | None) -> dict[str, str]:
    """The digest of a network's weights, if they are at hand."""
    return {} if identity is None else {f"{metric}_sha256": identity["sha256"]}


def read_summary(workspace: Workspace, artifact: str) -> list[dict[str, Any]]:
    """The rows of the fidelity table.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    rows: list[dict[str, Any]] = read_table(workspace.store, f"{artifact}.parquet").to_pylist()
    return rows


def write_summary(job: SummaryJob) -> list[dict[str, Any]]:
    """Write and return the fidelity table, with names, sizes and warnings as its metadata.

    Raises:
        TooManyBadImages: more images were refused than the configuration allows.
    """
    workspace = job.opened()
    _require_good(job, workspace)
    folder = signals_folder(job.dataset, job.results)
    rows = [
        row
        for signal in job.signals
        for row in read_fidelity(workspace, f"{folder}/{signal.folder}")
    ]
    warnings = [_scores(job, workspace).unscored(), *_warnings(rows, job.names)]
    told = json.dumps([warning for warning in warnings if warning])
    metadata = job.names | sizes_of(rows, job.names) | overlap_facts(rows) | {"warnings": told}
    with publishing(workspace, job.target) as publication:
        schema = fidelity_schema(job.names).with_metadata(metadata)
        table = pa.Table.from_pylist(rows, schema)
        write_table(table, publication.file(f"{job.target.artifact}.parquet"))
    return read_summary(workspace, job.target.artifact)


def _warnings(rows: Sequence[dict[str, Any]], names: dict[str, str]) -> list[str]:
    """Sentences about what makes the numbers less reliable than they seem."""
    references = [row["reference_images"] for row in rows if row.get("reference_images")]
    few = _few(rows, min(references)) if references else []
    return size_warnings(rows, names) + few


SUBJECTS = {"inception_score": "The Inception Score", "precision": "Precision and recall"}
"""How a warning begins that is about one metric alone, by the metric's column."""


def _few(rows: Sequence[dict[str, Any]], reference: int) -> list[str]:
    """Sentences about metrics, other than distances, that there are too few images for."""
    found = []
    split = (_fewest(rows, "inception_score") or 5000) // 10
    if split < 500:
        found.append(
            f"{SUBJECTS['inception_score']} is a mean over splits of about {split} images: below "
            "500 it is too small, and compares only runs over as many images."
        )
    images = _fewest(rows, "precision")
    if images is not None and min(images, reference) < 1000:
        found.append(
            f"{SUBJECTS['precision']} of {images} images and {reference} to compare with: below "
            "1000 of each they are coarse, and compare only runs over as many images."
        )
    return found


def _fewest(rows: Sequence[dict[str, Any]], metric: str) -> int | None:
    """The smallest number of images with features behind a metric; None where no row has it."""
    counts = [row["featured"] for row in rows if row.get(metric) is not None]
    return min(counts, default=None)


def _require_good(job: SummaryJob, workspace: Workspace) -> None:
    """Check, by the records of the metric tables, how many images the enhancement refused.

    Raises:
        TooManyBadImages: more than the configuration allows.
    """
    images, refused = 0, Counter[str]()
    for facts in _scores(job, workspace).records():
        images += facts["images"]
        refused.update(facts["refused"])
    require_few_bad(job.dataset, images, refused, job.max_bad_fraction)


def _scores(job: SummaryJob, workspace: Workspace) -> ScoreTables:
    """The metric tables of the first signal, which has every image as the others have."""
    return ScoreTables(workspace, job.dataset, job.results, job.signals[0], job.shards)


def summary_facts(workspace: Workspace, artifact: str) -> dict[str, str]:
    """The metadata of the fidelity table: names of metrics, digests, sizes, warnings.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    schema = read_schema(workspace.store, f"{artifact}.parquet")
    return NAMES | facts_of(schema)


def warnings_of(facts: Mapping[str, str]) -> list[str]:
    """What a reader must know before relying on the numbers; empty if nothing."""
    return [str(warning) for warning in json.loads(facts.get("warnings", "[]"))]
