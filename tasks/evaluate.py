"""Summarise the metric tables: one row a signal, and the Gelbrich distances."""

import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from prefect import task

from dot_kernels import GaussianMoments, gelbrich_distance
from tasks.config import Config
from tasks.enhance import signals_to_score
from tasks.io.artifacts import load_moments
from tasks.io.ledger import Record
from tasks.io.scores import METRICS
from tasks.io.shards import read_table
from tasks.io.workspace import (
    Signal,
    Workspace,
    features_folder,
    metrics_folder,
    reports_folder,
)
from tasks.jobs import Job, Line, Target, aim
from tasks.outputs import LATENT_PATCHES
from tasks.policy import SHARD_POLICY, logger
from tasks.reduce import OperatorRef, read_operator
from tasks.shard import finished_digest, require_few_bad

SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("signal", pa.string()),
        pa.field("alpha", pa.float64()),
        pa.field("images", pa.int64(), metadata={"meaning": "images with metrics"}),
        *(
            pa.field(name, pa.float64(), metadata={"meaning": "mean over finite values"})
            for name in METRICS
        ),
        pa.field(
            "gelbrich",
            pa.float64(),
            metadata={"meaning": "squared 2-Wasserstein distance of latent patches to natural"},
        ),
    ]
)


class SummaryJob(Job):
    """Summarise the metrics of one enhanced data set, and drop shards it no longer has."""

    target: Target
    dataset: str
    operator: str
    signals: tuple[Signal, ...]
    shards: tuple[str, ...]
    retired: tuple[Line, ...]
    max_bad_fraction: float


@task(name="summarise", **SHARD_POLICY)
def summarise(job: SummaryJob) -> list[dict[str, Any]]:
    """Write the summary; returns its rows."""
    rows = write_summary(job)
    logger().info("summarised signals=%d shards=%d", len(rows), len(job.shards))
    return rows


def plan_summary(
    config: Config, operator: OperatorRef, workspace: Workspace
) -> tuple[str, SummaryJob | None]:
    """The artifact that holds the summary, and the job that makes it if it is missing.

    Raises:
        StepMissing: some metrics have not been computed.
    """
    dataset = config.restored_name
    survey = workspace.ledger.survey(metrics_folder(dataset, operator.name))
    enhanced = workspace.ledger.survey(f"enhanced/{dataset}/{operator.name}")
    shards = tuple(workspace.shards(dataset))
    signals = signals_to_score(config)
    inputs: dict[str, Any] = {
        "operator": operator.digest,
        "signals": [list(signal) for signal in signals],
        "max_bad_fraction": config.shards.max_bad_fraction,
    }
    for signal in signals:
        folder = metrics_folder(dataset, operator.name, signal)
        parts = [finished_digest(survey, f"{folder}/{shard}", "evaluate") for shard in shards]
        inputs[signal.folder] = parts
    folder = reports_folder(dataset, operator.name)
    artifact = f"{folder}/fidelity"
    target = aim(workspace.ledger.survey(folder), artifact, "summarise", inputs)
    job = (
        None
        if target is None
        else SummaryJob(
            workspace=workspace.url,
            target=target,
            dataset=dataset,
            operator=operator.name,
            signals=signals,
            shards=shards,
            max_bad_fraction=config.shards.max_bad_fraction,
            retired=(*survey.retired(set(shards)), *enhanced.retired(set(shards))),
        )
    )
    return artifact, job


def read_summary(workspace: Workspace, artifact: str) -> list[dict[str, Any]]:
    """The rows of the summary."""
    rows: list[dict[str, Any]] = read_table(workspace.store, f"{artifact}.parquet").to_pylist()
    return rows


def write_summary(job: SummaryJob) -> list[dict[str, Any]]:
    """Average the tables of each signal, shard by shard, and merge its moments."""
    workspace = job.opened()
    natural = read_operator(workspace, job.dataset, job.operator)[1]["target"]
    _require_good(job, workspace)
    rows = [_row(job, signal, natural, workspace) for signal in job.signals]
    with workspace.ledger.publishing(
        job.target.artifact, job.target.fingerprint, job.target.withdrawn
    ) as publication:
        table = pa.Table.from_pylist(rows, SUMMARY_SCHEMA)
        pq.write_table(table, publication.file(f"{job.target.artifact}.parquet"))
    workspace.ledger.retire(map(Record._make, job.retired))
    return rows


def _require_good(job: SummaryJob, workspace: Workspace) -> None:
    """Check how many images the enhancement refused.

    Raises:
        TooManyBadImages: more than the configuration allows.
    """
    folder = metrics_folder(job.dataset, job.operator, job.signals[0])
    images, reasons = 0, list[str]()
    for shard in job.shards:
        table = read_table(workspace.store, f"{folder}/{shard}.parquet", ["status", "reason"])
        images += table.num_rows
        reasons += table.filter(pc.equal(table["status"], "refused"))["reason"].to_pylist()
    require_few_bad(job.dataset, images, reasons, job.max_bad_fraction)


def _row(
    job: SummaryJob, signal: Signal, natural: GaussianMoments, workspace: Workspace
) -> dict[str, Any]:
    folder = metrics_folder(job.dataset, job.operator, signal)
    tables = (
        read_table(workspace.store, f"{folder}/{shard}.parquet", ["status", *METRICS])
        for shard in job.shards
    )
    means = _means(tables)
    moments = _merged(job, signal, workspace)
    return {
        "signal": signal.name,
        "alpha": signal.alpha,
        **means,
        "gelbrich": gelbrich_distance(moments, natural) if moments else None,
    }


def _means(tables: Iterable[pa.Table]) -> dict[str, Any]:
    """How many images have metrics, and the mean of each metric over those that have it.

    Images equal to their reference have an infinite PSNR; they count only where all do.
    """
    sums, counts = dict.fromkeys(METRICS, 0.0), dict.fromkeys(METRICS, 0)
    images = 0
    infinite = dict.fromkeys(METRICS, 0)
    for table in tables:
        images += pc.sum(pc.equal(table["status"], "ok")).as_py() or 0
        for name in METRICS:
            column = pc.drop_null(table[name])
            finite = column.filter(pc.is_finite(column))
            counts[name] += len(finite)
            infinite[name] += len(column) - len(finite)
            sums[name] += pc.sum(finite).as_py() or 0.0
    means = {
        name: sums[name] / counts[name] if counts[name] else math.inf if infinite[name] else None
        for name in METRICS
    }
    return {"images": images, **means}


def _merged(job: SummaryJob, signal: Signal, workspace: Workspace) -> GaussianMoments | None:
    """The latent patches of a signal over all shards, if there are enough of them."""
    total: GaussianMoments | None = None
    for shard in job.shards:
        path = f"{features_folder(job.dataset, job.operator, signal)}/{shard}.safetensors"
        if not workspace.store.exists(path):
            continue
        with workspace.store.fetched(path) as local:
            part = load_moments(local)[0][LATENT_PATCHES]
        total = part if total is None else total + part
    return total if total is not None and total.count > 1 else None


def is_best(name: str, value: float, values: Iterable[float | None]) -> bool:
    """Whether a value is the best of its column; PSNR and SSIM want more, all else less."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    return bool(known) and value == (max(known) if name in ("psnr", "ssim") else min(known))
