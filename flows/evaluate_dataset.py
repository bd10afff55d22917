"""From enhanced shards to one table of metrics and the report over it."""

from typing import Any

from prefect import flow
from prefect.artifacts import create_link_artifact, create_table_artifact

from flows.enhance_dataset import pass_over_shards
from flows.steps import RUNNER, Report
from tasks.config import Config
from tasks.evaluate import plan_summary, read_summary, summarise
from tasks.io.workspace import Workspace
from tasks.reduce import find_operator
from tasks.report import plan_report, write_report


@flow(
    name="evaluate-dataset",
    flow_run_name="evaluate {config.name}",
    task_runner=RUNNER,
)
def evaluate_dataset(config: Config) -> list[Report]:
    """Score what has not been scored, and summarise."""
    scored = pass_over_shards(config, "score", tars=False)
    workspace = Workspace(config.workspace)
    artifact, job = plan_summary(config, find_operator(config, workspace), workspace)
    if job is not None:
        summarise(job)
    create_table_artifact(
        [_plain(row) for row in read_summary(workspace, artifact)],
        key="metrics",
        description=f"Means over the images of {config.restored_name}",
    )
    return [scored]


@flow(name="report", flow_run_name="report {config.name}")
def report_dataset(config: Config) -> str:
    """Write the report; returns its address."""
    workspace = Workspace(config.workspace)
    artifact, job = plan_report(config, find_operator(config, workspace), workspace)
    if job is not None:
        write_report(job)
    local = workspace.store.local(f"{artifact}.html")
    address = local.as_uri() if local else workspace.store.address(f"{artifact}.html")
    create_link_artifact(address, f"Report of {config.name}", key="report")
    return workspace.store.address(f"{artifact}.html")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the dashboard, which shows no null and knows no infinity."""
    return {
        name: "" if value is None else f"{value:.4g}" if isinstance(value, float) else value
        for name, value in row.items()
    }
