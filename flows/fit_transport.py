"""From natural and restored shards to the transport operator between them."""

import dataclasses

from prefect import flow

from flows.runners.choice import computing
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun, leave, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.fit.decide import decide_refit, plan_decision
from tasks.fit.decision import decision_facts
from tasks.fit.measure import measure_shard, plan_both_measurements
from tasks.fit.operators import read_operator
from tasks.fit.reduce import plan_reduction, reduce_moments
from tasks.fit.select import plan_selection, read_selection, select_images
from tasks.io.workspace import Workspace


@flow(name="fit-transport", flow_run_name="fit {config.name}")
@at_work
def fit_transport(config: Config) -> list[StepReport]:
    """Choose images, measure their latent patches, keep the operator or solve another."""
    workspace = Workspace(config.workspace)
    artifact, selection_job = plan_selection(config, workspace)
    if selection_job is not None:
        select_images(selection_job)
    selection = read_selection(workspace, artifact)
    planned = plan_both_measurements(config, selection, workspace)
    measured = run_step(
        StepRun.of(config, "measure latent patches"),
        measure_shard,
        planned,
        computing(config.compute),
        total=sum(unit.images for unit in planned),
    )
    decision_job = plan_decision(config, selection, workspace)
    if decision_job is not None:
        decide_refit(decision_job)
    name, reduction_job = plan_reduction(config, selection, workspace)
    if reduction_job is not None:
        reduce_moments(reduction_job)
    operator, _, provenance = read_operator(workspace, config.restored_name, name)
    facts = {"operator": name, **provenance, **dataclasses.asdict(operator.diagnostics)}
    facts |= decision_facts(config, workspace)
    rows = [{"fact": fact, "value": str(value)} for fact, value in facts.items()]
    leave(rows, "transport-operator", f"Transport operator {name} of {config.name}")
    leave_table([measured], "measured-patches")
    return [measured]
