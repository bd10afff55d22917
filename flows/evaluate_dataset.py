"""Evaluate and report: enhanced shards go in, one table of metrics and a report come out."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.runners.choice import connected
from flows.runs.assets import has_assets, tell_report
from flows.runs.prefect_api import patiently
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave, leave_table
from tasks.config import Config, Run
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.fit.operators import fitted
from tasks.pipeline import is_finished
from tasks.report.report import report_artifact, report_markdown


@flow(name="evaluate-dataset", flow_run_name="evaluate {config.name}")
@at_work
@connected
def evaluate_dataset(config: Config) -> list[StepReport]:
    """Score what has not been scored, compare features, and summarise; return what was done."""
    run = Run.of(config)
    reports = do_steps(run, "evaluate")
    rows = [_plain(row) for row in read_summary(run.workspace, summary_artifact(fitted(run)))]
    leave(rows, "metrics", f"Fidelity of {config.restored_name}")
    leave_table(reports, "evaluation")
    return reports


@flow(name="report", flow_run_name="report {config.name}")
@at_work
def report_dataset(config: Config) -> str:
    """Write the report; return its address."""
    run = Run.of(config)
    is_new = has_assets() and not is_finished(config, "report")
    do_steps(run, "report")
    found = fitted(run)
    artifact, store = report_artifact(found), run.workspace.store
    local = store.local(f"{artifact}.html")
    address = local.as_uri() if local else store.address(f"{artifact}.html")
    text = f"[The whole report]({address})\n\n{report_markdown(run.workspace, artifact)}"
    patiently(
        lambda: create_markdown_artifact(text, key="report", description=f"Report of {config.name}")
    )
    if is_new:
        tell_report(found)
    return store.address(f"{artifact}.html")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with texts instead of nulls and floats, which the dashboard cannot all show."""
    return {
        name: "" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        for name, value in row.items()
    }
