"""From natural and restored shards to the transport operator between them."""

import dataclasses

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.lanes import computing
from flows.presence import at_work
from flows.steps import Report, run_step
from tasks.config import Config
from tasks.io.workspace import Workspace
from tasks.measure import measure_shard, plan_both_measurements
from tasks.reduce import plan_reduction, read_operator, reduce_moments
from tasks.select import plan_selection, read_selection, select_images


@flow(name="fit-transport", flow_run_name="fit {config.name}")
@at_work
def fit_transport(config: Config) -> list[Report]:
    """Choose images, measure their latent patches, solve the operator."""
    workspace = Workspace(config.workspace)
    artifact, selection_job = plan_selection(config, workspace)
    if selection_job is not None:
        select_images(selection_job)
    selection = read_selection(workspace, artifact)
    planned = plan_both_measurements(config, selection, workspace)
    measured = run_step(
        "measure latent patches",
        measure_shard,
        planned,
        computing(config.compute),
        total=sum(unit.images for unit in planned),
    )
    name, reduction_job = plan_reduction(config, selection, workspace)
    if reduction_job is not None:
        reduce_moments(reduction_job)
    operator, _, provenance = read_operator(workspace, config.restored_name, name)
    facts = {"operator": name, **provenance, **dataclasses.asdict(operator.diagnostics)}
    create_table_artifact(
        [{"fact": fact, "value": str(value)} for fact, value in facts.items()],
        key="transport-operator",
        description=f"Transport operator {name} of {config.name}",
    )
    return [measured]
