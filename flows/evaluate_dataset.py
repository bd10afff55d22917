"""From enhanced shards to one table of metrics and the report over it."""

from typing import Any

from prefect import Task, flow
from prefect.artifacts import create_markdown_artifact

from flows.enhance_dataset import pass_over_shards
from flows.runners.choice import computing, connected, gathering
from flows.runners.lanes import Lanes
from flows.runs.prefect_api import patiently
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun, leave, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.evaluate.extract import extract_features, plan_extraction
from tasks.evaluate.fidelity import measure_fidelity, plan_fidelity
from tasks.evaluate.summarise import plan_summary, read_summary, summarise
from tasks.fit.operators import find_operator
from tasks.io.workspace import Workspace
from tasks.jobs import Outcome, Planned
from tasks.report.report import plan_report, report_markdown, write_report


@flow(name="evaluate-dataset", flow_run_name="evaluate {config.name}")
@at_work
@connected
def evaluate_dataset(config: Config) -> list[StepReport]:
    """Score what has not been scored, compare features, and summarise."""
    workspace = Workspace(config.workspace)
    reports = [pass_over_shards(config, "score", tars=False)]
    operator = find_operator(config, workspace)
    against = StepRun.of(config, f"features of {config.against_name}")
    if units := list(plan_extraction(config, workspace)):
        reports.append(_run(against, extract_features, units, computing(config.compute)))
    units = list(plan_fidelity(config, operator, workspace))
    fidelity = StepRun.of(config, "fidelity")
    reports.append(_run(fidelity, measure_fidelity, units, gathering(config.compute)))
    artifact, job = plan_summary(config, operator, workspace)
    if job is not None:
        summarise(job)
    rows = [_plain(row) for row in read_summary(workspace, artifact)]
    leave(rows, "metrics", f"Fidelity of {config.restored_name}")
    leave_table(reports, "evaluation")
    return reports


@flow(name="report", flow_run_name="report {config.name}")
@at_work
def report_dataset(config: Config) -> str:
    """Write the report; returns its address."""
    workspace = Workspace(config.workspace)
    artifact, job = plan_report(config, find_operator(config, workspace), workspace)
    if job is not None:
        write_report(job)
    local = workspace.store.local(f"{artifact}.html")
    address = local.as_uri() if local else workspace.store.address(f"{artifact}.html")
    text = f"[The whole report]({address})\n\n{report_markdown(workspace, artifact)}"
    patiently(
        lambda: create_markdown_artifact(text, key="report", description=f"Report of {config.name}")
    )
    return workspace.store.address(f"{artifact}.html")


def _run(step: StepRun, work: Task[Any, Outcome], units: list[Planned], lanes: Lanes) -> StepReport:
    return run_step(step, work, units, lanes, total=sum(unit.images for unit in units))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the dashboard, which shows no null and knows no infinity."""
    return {
        name: "" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        for name, value in row.items()
    }
