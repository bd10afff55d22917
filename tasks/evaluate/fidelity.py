"""The fidelity of each signal: means with errors, and distances of features to a reference."""

import json
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

from prefect import task

from tasks.enhance.signals import signals_to_score
from tasks.evaluate.feature_columns import FeatureSets, distances_before, feature_columns
from tasks.evaluate.feature_tables import FeatureTables, feature_tables
from tasks.evaluate.means import means_of
from tasks.evaluate.overlap import find_overlap
from tasks.evaluate.patch_distance import distance_of_patches
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.fitted_images import Fit
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.artifacts.metric_registry import versions_of
from tasks.io.ledger import Survey
from tasks.io.workspace import (
    INPUT,
    Signal,
    Workspace,
    features_folder,
    metrics_folder,
    points_of,
    signals_folder,
)
from tasks.jobs import Job, Outcome, Planned, Target, aim, carry_out, finished_digest, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.progress import advance, at


class FidelityJob(Job):
    """The fidelity of one signal, or of all points of a curve.

    ``shards`` are those of the restored data set, ``compared`` the one or two data sets to compare
    with, none where there is no network. ``sample`` is how many images' features are kept for the
    metrics that need single ones, ``of_clip`` whether they are CLIP's. ``paired`` says whether the
    input has metrics too, which differences are to. ``fit`` and ``leave_out`` say which images were
    fitted on, and whether they are left out where enough others remain; the images of ``counted``
    stand for all signals'.
    """

    target: Target
    dataset: str
    operator: str
    signal: Signal
    points: tuple[Signal, ...]
    shards: tuple[str, ...]
    compared: tuple[FeatureTables, ...]
    sample: int
    of_clip: bool
    images: int
    paired: bool
    counted: Signal
    fit: Fit
    leave_out: bool


@task(name="fidelity", task_run_name="fidelity of {job.signal.label}", **SHARD_POLICY)
def measure_fidelity(job: FidelityJob) -> Outcome:
    """Write the rows of one signal, unless they are there already."""
    outcome = carry_out(job, _measure)
    logger().info("fidelity of %s %s", job.signal.folder, outcome)
    return outcome


def plan_fidelity(run: FittedRun) -> Iterator[Planned]:
    """A unit for every signal that is scored, with the job that measures it if that is missing.

    Raises:
        StepMissing: some metrics or features have not been computed.
    """
    dataset, ledger = run.config.restored_name, run.workspace.ledger
    folder = signals_folder(dataset, run.operator.name)
    survey, tables = map(ledger.survey, (folder, metrics_folder(dataset, run.operator.name)))
    shared = _shared(run)
    for signal in signals_to_score(run.config):
        inputs = {
            "operator": run.operator.digest,
            "scores": _scores(run, tables, signal, shared["shards"]),
            "reference": [digest for each in shared["compared"] for digest in each.digests],
            "sample": run.config.evaluate.sample,
            "torch-fidelity": version("torch-fidelity"),
            "fitted images": "left out" if run.config.evaluate.leave_out_fitted else "measured",
            **versions_of("patches", "features"),
        }
        artifact, job = f"{folder}/{signal.folder}", None
        if (target := aim(survey, artifact, "fidelity", inputs)) is not None:
            job = FidelityJob(
                target=target,
                signal=signal,
                points=points_of(signal, run.config.curve_alphas),
                paired=_is_paired(run, signal),
                **shared,
            )
        yield Planned(signal.label, shared["images"], job, (artifact,))


def _shared(run: FittedRun) -> dict[str, Any]:
    """What the jobs of all signals have in common."""
    shards = run.workspace.shards(run.config.restored_name)
    return {
        "workspace": run.workspace.url,
        "dataset": run.config.restored_name,
        "operator": run.operator.name,
        "shards": tuple(shards),
        "compared": tuple(feature_tables(run, name) for name in run.config.against_names),
        "sample": run.config.evaluate.sample,
        "of_clip": (run.config.evaluate.features or "").startswith("clip-"),
        "images": sum(shards.values()),
        "counted": signals_to_score(run.config)[0],
        "fit": Fit.of(run),
        "leave_out": run.config.evaluate.leave_out_fitted,
    }


def read_fidelity(workspace: Workspace, artifact: str) -> list[dict[str, Any]]:
    """The rows of one signal, as ``write_fidelity`` left them at this artifact."""
    rows: list[dict[str, Any]] = json.loads(workspace.store.read(f"{artifact}.json"))
    return rows


def write_fidelity(job: FidelityJob) -> list[dict[str, Any]]:
    """Write and return the rows of a signal: one, or of the curve one for each of its points.

    A row has the columns of the fidelity table that are known, and the sizes that the summary
    puts into that table's metadata.
    """
    workspace = job.opened()
    natural = read_operator(workspace, job.dataset, job.operator)[1]["target"]
    with publishing(workspace, job.target) as publication:
        tables = ScoreTables(workspace, job.dataset, job.operator, job.signal, job.shards)
        at(f"means of {job.signal.label}")
        overlap, left_out = find_overlap(
            tables.of(job.counted),
            [each.dataset for each in job.compared if each.paths],
            job.fit,
            leave_out=job.leave_out,
        )
        inputs = tables.of(INPUT) if job.paired else None
        means = means_of(tables, job.points, inputs, left_out)
        sets = FeatureSets(workspace, job.compared, job.sample, left_out, job.of_clip)
        came = () if inputs is None else _paths(job, INPUT, _published(inputs)).features
        before, files, rows = distances_before(sets, came), _published(tables), []
        for point in job.points:
            at(f"distances of {point.label}")
            paths = _paths(job, point, files)
            row = {"signal": point.name, "alpha": point.alpha, "low_share": point.low_share}
            row |= means[point.alpha]
            row |= distance_of_patches(workspace.store, paths.latents, natural)
            row |= feature_columns(sets, job.signal, paths.features, paths.classes, before)
            rows.append(row | {"overlap": overlap.model_dump_json()})
        text = json.dumps(rows, indent=1)
        publication.file(f"{job.target.artifact}.json").write_text(text, "utf-8")
    advance(job.images)
    return rows


def _measure(job: FidelityJob) -> Outcome:
    write_fidelity(job)
    return Outcome(images=job.images)


def _scores(run: FittedRun, tables: Survey, signal: Signal, shards: Iterable[str]) -> list[str]:
    """Digests of the metric tables of a signal, by shard, and of the input that it is paired with.

    Raises:
        StepMissing: some have not been computed.
    """
    dataset, operator = run.config.restored_name, run.operator.name
    signals = (signal, INPUT) if _is_paired(run, signal) else (signal,)
    folders = [metrics_folder(dataset, operator, one) for one in signals]
    paths = [f"{folder}/{shard}" for folder in folders for shard in shards]
    return [finished_digest(tables, path, "evaluate") for path in paths]


def _is_paired(run: FittedRun, signal: Signal) -> bool:
    """Whether each image of a signal is compared with itself before, at the input."""
    return signal != INPUT and INPUT in signals_to_score(run.config)


class _Paths(NamedTuple):
    """The paths of features, class probabilities and moments of one signal, shard by shard."""

    features: list[str]
    classes: list[str]
    latents: list[str]


def _published(tables: ScoreTables) -> frozenset[str]:
    """The files that were published with the metric tables of a signal."""
    return frozenset(path for facts in tables.records() for path in facts["files"])


def _paths(job: FidelityJob, point: Signal, files: Collection[str]) -> _Paths:
    """The files of a signal that were published with its metric tables.

    Earlier runs with other options may have left more files in the folder.
    """
    folder = features_folder(job.dataset, job.operator, point)
    return _Paths(
        *(
            [path for shard in job.shards if (path := f"{folder}/{shard}.{ending}") in files]
            for ending in ("parquet", "classes.safetensors", "safetensors")
        )
    )
