"""The fidelity of each signal: means with errors, and distances of features to a reference."""

import json
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from prefect import task

from tasks.enhance.signals import signals_to_score
from tasks.evaluate.features.columns import FeatureSets, distances_before, feature_columns
from tasks.evaluate.features.more_networks import add_columns
from tasks.evaluate.features.published import NO_FILES, Leaves, PublishedFiles
from tasks.evaluate.features.tables import FeatureTables, MoreTables
from tasks.evaluate.fidelity_targets import Compared, fidelity_targets, is_paired
from tasks.evaluate.means import means_of
from tasks.evaluate.overlap import find_overlap
from tasks.evaluate.patch_distance import distance_of_patches
from tasks.evaluate.score_tables import ScoreTables, of_packages
from tasks.evaluate.sums.plan import Sums
from tasks.fit.fitted_images import Fit
from tasks.fit.operators import FittedRun, read_operator
from tasks.io.artifacts.more_metrics import NO_FACTS
from tasks.io.workspace import INPUT, Signal, Workspace, points_of
from tasks.jobs import Job, Outcome, Planned, Target, carry_out, publishing
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
    whether the tables have metrics of pyiqa or of plug-ins. Where the data set is large, the
    features of ``leaves`` of it are added up already, and those of the input of ``input_leaves``.
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
    leaves: Leaves = ()
    input_leaves: Leaves = ()


@task(name="fidelity", task_run_name="fidelity of {job.signal.label}", **SHARD_POLICY)
def measure_fidelity(job: FidelityJob) -> Outcome:
    """Write the rows of one signal, unless they are there already."""
    outcome = carry_out(job, _measure)
    logger().info("fidelity of %s %s", job.signal.folder, outcome)
    return outcome


def plan_fidelity(run: FittedRun) -> Iterator[Planned]:
    """A unit for every signal that is scored, with the job that measures it if that is missing.

    Raises:
        StepMissing: some metrics or features have not been computed, or not been added up.
    """
    compared = Compared.of(run)
    images = sum(run.workspace.shards(run.config.restored_name).values())
    jobs = _Jobs(run, compared, images)
    for signal, artifact, target in fidelity_targets(run, compared):
        job = None if target is None else jobs.of(signal, target)
        yield Planned(signal.label, images, job, (artifact,))


class _Jobs:
    """The jobs of the signals of a run."""

    def __init__(self, run: FittedRun, compared: Compared, images: int) -> None:
        self._run, self._compared, self._images = run, compared, images

    def of(self, signal: Signal, target: Target) -> FidelityJob:
        """The job that measures a signal."""
        run, shared = self._run, self._shared
        paired = is_paired(run, signal)
        return FidelityJob(
            target=target,
            signal=signal,
            points=points_of(signal, run.config.curve_alphas),
            paired=paired,
            leaves=self._sums.leaves_of(signal),
            input_leaves=self._sums.leaves_of(INPUT) if paired else (),
            **shared,
        )

    @cached_property
    def _sums(self) -> Sums:
        return Sums(self._run, self._compared)

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What the jobs of all signals have in common."""
        run, options = self._run, self._run.config.evaluate
        compared = self._compared.with_sums(self._sums.added)
        return {
            "workspace": run.workspace.url,
            "dataset": run.config.restored_name,
            "operator": run.operator.name,
            "results": run.results,
            "shards": tuple(run.workspace.shards(run.config.restored_name)),
            "compared": compared.first,
            "more": compared.more,
            "sample": options.sample,
            "of_clip": (options.network or "").startswith("clip-"),
            "images": self._images,
            "counted": signals_to_score(run.config)[0],
            "fit": Fit.of(run),
            "leave_out": options.leave_out_fitted,
            "of_packages": bool(of_packages(options)),
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
        tables = ScoreTables(workspace, job.dataset, job.results, job.signal, job.shards)
        at(f"means of {job.signal.label}")
        overlap, left_out = find_overlap(
            tables.of(job.counted), _compared(job), job.fit, leave_out=job.leave_out
        )
        inputs = tables.of(INPUT) if job.paired else None
        facts = tables.facts() if job.of_packages else NO_FACTS
        means = means_of(tables, job.points, inputs, left_out, facts)
        files, rows = PublishedFiles.of(tables, job.leaves), list[dict[str, Any]]()
        came = None if inputs is None else PublishedFiles.of(inputs, job.input_leaves)
        sets = FeatureSets(workspace, job.compared, job.sample, left_out, job.of_clip)
        before = distances_before(sets, came.features(INPUT) if came else NO_FILES)
        for point in job.points:
            at(f"distances of {point.label}")
            features, classes = files.features(point), files.classes(point)
            row = {"signal": point.name, "alpha": point.alpha, "low_share": point.low_share}
            row |= means[point.alpha]
            row |= distance_of_patches(workspace.store, files.latents(point), natural)
            row |= feature_columns(sets, job.signal, features, classes, before)
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
