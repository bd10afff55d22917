"""The fidelity of each signal: means with errors, and distances of features to a reference."""

import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from prefect import task

from tasks.enhance.signals import signals_to_score
from tasks.evaluate.features.columns import FeatureSets, distances_before, feature_columns
from tasks.evaluate.features.more_networks import add_columns
from tasks.evaluate.features.published import PublishedFiles
from tasks.evaluate.features.tables import FeatureTables, MoreTables, feature_tables
from tasks.evaluate.means import means_of
from tasks.evaluate.overlap import find_overlap
from tasks.evaluate.patch_distance import distance_of_patches
from tasks.evaluate.score_tables import ScoreTables, of_packages
from tasks.fit.fitted_images import Fit
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.artifacts.metric_registry import versions_of
from tasks.io.artifacts.more_metrics import NO_FACTS
from tasks.io.ledger import Survey
from tasks.io.networks.features.extractors import FIRST
from tasks.io.workspace import (
    INPUT,
    Signal,
    Workspace,
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
    with, none where there is no network, and ``more`` the same by further networks. ``sample`` is
    how many images' features are kept for the metrics that need single ones, ``of_clip`` whether
    they are CLIP's. ``paired`` says whether the input has metrics too, which differences are to.
    ``fit`` and ``leave_out`` say which images were fitted on, and whether they are left out where
    enough others remain; the images of ``counted`` stand for all signals'. ``of_packages`` says
    whether the tables have metrics of pyiqa or of plug-ins.
    """

    target: Target
    dataset: str
    operator: str
    results: str
    signal: Signal
    points: tuple[Signal, ...]
    shards: tuple[str, ...]
    compared: tuple[FeatureTables, ...]
    more: tuple[MoreTables, ...]
    sample: int
    of_clip: bool
    images: int
    paired: bool
    counted: Signal
    fit: Fit
    leave_out: bool
    of_packages: bool = False


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
    folder = signals_folder(dataset, run.results)
    survey, tables = map(ledger.survey, (folder, metrics_folder(dataset, run.results)))
    shared = _shared(run)
    for signal in signals_to_score(run.config):
        inputs = {
            "operator": run.operator.digest,
            "scores": _scores(run, tables, signal, shared["shards"]),
            "reference": [digest for each in shared["compared"] for digest in each.digests],
            **_more_digests(shared["more"]),
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
    shards, options = run.workspace.shards(run.config.restored_name), run.config.evaluate
    tables = {
        name: tuple(feature_tables(run, each, network) for each in run.config.against_names)
        for name, network in {FIRST: None, **options.networks}.items()
    }
    return {
        "workspace": run.workspace.url,
        "dataset": run.config.restored_name,
        "operator": run.operator.name,
        "results": run.results,
        "shards": tuple(shards),
        "compared": tables[FIRST],
        "more": tuple(
            MoreTables(network=network, compared=tables[name])
            for name, network in options.networks.items()
            if name != FIRST
        ),
        "sample": options.sample,
        "of_clip": (options.network or "").startswith("clip-"),
        "images": sum(shards.values()),
        "counted": signals_to_score(run.config)[0],
        "fit": Fit.of(run),
        "leave_out": options.leave_out_fitted,
        "of_packages": bool(of_packages(options)),
    }


def _more_digests(more: Iterable[MoreTables]) -> dict[str, Any]:
    """The digests of features by further networks as an input; none where there are none."""
    found = {each.network: [d for one in each.compared for d in one.digests] for each in more}
    return {"more networks": found} if found else {}


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
        tables = ScoreTables(workspace, job.dataset, job.results, job.signal, job.shards)
        at(f"means of {job.signal.label}")
        overlap, left_out = find_overlap(
            tables.of(job.counted), _compared(job), job.fit, leave_out=job.leave_out
        )
        inputs = tables.of(INPUT) if job.paired else None
        facts = tables.facts() if job.of_packages else NO_FACTS
        means = means_of(tables, job.points, inputs, left_out, facts)
        files, rows = PublishedFiles.of(tables), list[dict[str, Any]]()
        came = None if inputs is None else PublishedFiles.of(inputs)
        sets = FeatureSets(workspace, job.compared, job.sample, left_out, job.of_clip)
        before = distances_before(sets, came.features(INPUT) if came else ())
        for point in job.points:
            at(f"distances of {point.label}")
            paths, classes = files.features(point), files.classes(point)
            row = {"signal": point.name, "alpha": point.alpha, "low_share": point.low_share}
            row |= means[point.alpha]
            row |= distance_of_patches(workspace.store, files.latents(point), natural)
            row |= feature_columns(sets, job.signal, paths, classes, before)
            rows.append(row | {"overlap": overlap.model_dump_json()})
        for more in job.more:
            theirs = sets._replace(compared=more.compared, of_clip=False)
            add_columns(rows, job.points, more.network, theirs, files, came)
        text = json.dumps(rows, indent=1)
        publication.file(f"{job.target.artifact}.json").write_text(text, "utf-8")
    advance(job.images)
    return rows


def _compared(job: FidelityJob) -> list[str]:
    """The data sets that some network's features are compared with."""
    tables = (*job.compared, *(one for each in job.more for one in each.compared))
    return list(dict.fromkeys(each.dataset for each in tables if each.paths))


def _measure(job: FidelityJob) -> Outcome:
    write_fidelity(job)
    return Outcome(images=job.images)


def _scores(run: FittedRun, tables: Survey, signal: Signal, shards: Iterable[str]) -> list[str]:
    """Digests of the metric tables of a signal, by shard, and of the input that it is paired with.

    Raises:
        StepMissing: some have not been computed.
    """
    dataset, results = run.config.restored_name, run.results
    signals = (signal, INPUT) if _is_paired(run, signal) else (signal,)
    folders = [metrics_folder(dataset, results, one) for one in signals]
    paths = [f"{folder}/{shard}" for folder in folders for shard in shards]
    return [finished_digest(tables, path, "evaluate") for path in paths]


def _is_paired(run: FittedRun, signal: Signal) -> bool:
    """Whether each image of a signal is compared with itself before, at the input."""
    return signal != INPUT and INPUT in signals_to_score(run.config)
