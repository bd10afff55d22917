"""Write the report: tables, figures, images, and what was run, as HTML, Markdown and JSON."""

import os
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from prefect import task

from tasks.config import Config, Run
from tasks.config.compute import CUT_TARS_ABOVE
from tasks.fit.operators import FittedRun, OperatorRef, fitted
from tasks.io.artifacts.metric_registry import curve_names
from tasks.io.ledger import digest_of
from tasks.io.workspace import (
    Signal,
    Workspace,
    dataset_folder,
    enhanced_folder,
    latest_artifact,
    reports_folder,
)
from tasks.jobs import Job, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.report.findings import Findings, report_text, run_record
from tasks.report.pages import render_redirect, render_report
from tasks.report.pictures.gallery import gallery, input_is_a_knot
from tasks.report.pictures.worst_and_best import find_extremes
from tasks.report.sections import page_facts

_TEMPLATES = ("report.html", "tables.html", "viewer.html", "report.css", "report.js")

_WHERE: dict[str, Any] = {
    "blocks": True,
    "compute": {"runner", "shards_at_once"},
    "fit": {"keep_latents"},
    "keep": True,
}
"""What is left out of the report's inputs: where the work was done, and what is kept of earlier
results or for others, changes nothing in it."""


class ReportJob(Job):
    """Write the report of one enhanced data set, and the page that leads to the newest."""

    target: Target | None
    latest: Target | None
    config: Config
    operator: OperatorRef


@task(name="report", task_run_name="report {job.config.name}", **SHARD_POLICY)
def write_report(job: ReportJob) -> None:
    """Write the report's files, unless they are there already."""
    settle(job, make_report)
    logger().info("wrote %s.html", job.targets()[0].artifact)


def plan_report(run: FittedRun) -> tuple[tuple[str, str], ReportJob | None]:
    """The report's artifact and that of the newest, and the job that writes what is missing.

    Raises:
        StepMissing: the metrics have not been summarised.
    """
    folder = reports_folder(run.config.restored_name, run.results)
    survey = run.workspace.ledger.survey(folder)
    finished_digest(survey, f"{folder}/fidelity", "evaluate")
    inputs = {
        "summary": survey.records(f"{folder}/fidelity")[-1].fingerprint,
        "images": [_index_digest(dataset, run.workspace) for dataset in run.config.datasets()],
        "pictures": _picture_digests(run),
        "config": _told(run.config),
        "page": _template_digests(),
    }
    artifact = report_artifact(run)
    newest = latest_artifact(run.config.name)
    reports = run.workspace.ledger.survey(newest.rpartition("/")[0])
    job = ReportJob(
        workspace=run.workspace.url,
        target=aim(survey, artifact, "report", inputs),
        latest=aim(reports, newest, "latest", {"report": artifact}),
        config=run.config,
        operator=run.operator,
    )
    return (artifact, newest), job if job.targets() else None


def _told(config: Config) -> dict[str, Any]:
    """The options that the report depends on, without later ones that are not used."""
    told = config.model_dump(mode="json", exclude=_WHERE)
    for section, option in (("evaluate", "pyiqa"), ("evaluate", "plug_ins"), ("enhance", "name")):
        if not told[section][option]:
            del told[section][option]
    if not told["reapply"]:
        del told["reapply"]
    if told["shards"]["cut_tars_above"] == CUT_TARS_ABOVE:
        del told["shards"]["cut_tars_above"]
    return told


def report_artifact(run: FittedRun) -> str:
    """The artifact that is the report."""
    return f"{reports_folder(run.config.restored_name, run.results)}/report"


def report_address(config: Config) -> str:
    """The path or URL of the report of a finished run.

    Raises:
        StepMissing: the operator has not been fitted.
    """
    run = fitted(Run.of(config))
    return run.workspace.store.address(f"{report_artifact(run)}.html")


def report_markdown(workspace: Workspace, artifact: str) -> str:
    """The finished report in Markdown: table, gaps, warnings, operator, counts."""
    return workspace.store.read(f"{artifact}.md").decode("utf-8")


def make_report(job: ReportJob) -> None:
    """Write the report if it is missing, and the page that leads to it."""
    run = FittedRun(job.config, job.opened(), job.operator)
    if job.target is not None:
        _write_pages(run, job.target)
    if job.latest is not None:
        with publishing(run.workspace, job.latest) as publication:
            path = f"{job.latest.artifact}.html"
            address = os.path.relpath(f"{report_artifact(run)}.html", path.rpartition("/")[0])
            publication.file(path).write_text(render_redirect(address), "utf-8")


def _write_pages(run: FittedRun, target: Target) -> None:
    """Gather what is known of a run, and write it as HTML, Markdown, PNG and JSON."""
    from tasks.report.figures.curve import perception_distortion_curve
    from tasks.report.figures.map import map_of_two_dials
    from tasks.report.figures.spectrum import operator_spectrum

    folder = reports_folder(run.config.restored_name, run.results)
    findings = Findings.of(run)
    names = curve_names(findings.facts)
    curve = perception_distortion_curve(
        findings.rows, names, input_is_alpha_1=input_is_a_knot(run.config)
    )
    dials = map_of_two_dials(findings.rows, names)
    ends = find_extremes(run)
    facts: Mapping[str, Any] = page_facts(
        findings,
        ends=ends,
        comparisons=gallery(run, findings.facts, ends),
        curve=curve,
        dials=dials,
        spectrum=operator_spectrum(*findings.spectra),
    )
    with publishing(run.workspace, target) as publication:
        publication.file(f"{folder}/report.html").write_text(render_report(facts), "utf-8")
        publication.file(f"{folder}/report.md").write_text(report_text(findings), "utf-8")
        publication.file(f"{folder}/run.json").write_text(run_record(findings, ends), "utf-8")
        for name, picture in (("curve", curve), ("map", dials)):
            if picture is not None:
                publication.file(f"{folder}/{name}.png").write_bytes(picture)


def _template_digests() -> dict[str, str]:
    """The page's templates, so that an upgrade of this software renews the page."""
    folder = files("tasks.report") / "templates"
    return {name: sha256((folder / name).read_bytes()).hexdigest() for name in _TEMPLATES}


def _index_digest(dataset: str, workspace: Workspace) -> str:
    folder = dataset_folder(dataset)
    return finished_digest(workspace.ledger.survey(folder), f"{folder}/index")


def _picture_digests(run: FittedRun) -> list[str]:
    """A digest for each alpha over its shards, any of which can have an image that is shown.

    Raises:
        StepMissing: they have not been written.
    """
    shards = list(run.workspace.shards(run.config.restored_name))
    digests = []
    for alpha in run.config.enhance.alphas:
        folder = enhanced_folder(run.config.restored_name, run.results, Signal("enhanced", alpha))
        survey = run.workspace.ledger.survey(folder)
        parts = [finished_digest(survey, f"{folder}/{shard}", "enhance") for shard in shards]
        digests.append(digest_of(parts))
    return digests
