"""From restored shards and an operator to enhanced shards, one set per alpha."""

from collections.abc import Collection

from prefect import flow

from flows.runners.choice import computing
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.enhance.enhance import enhance_shard
from tasks.enhance.match import match_reference, plan_matches, require_matches
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import fetch_metric_weights
from tasks.fit.operators import OperatorRef, find_operator
from tasks.io.workspace import Workspace


@flow(name="enhance-dataset", flow_run_name="enhance {config.name}")
@at_work
def enhance_dataset(config: Config) -> list[StepReport]:
    """Enhance every shard at every alpha, and score it in the same pass."""
    reports = [pass_over_shards(config, "enhance", tars=True)]
    leave_table(reports, "enhanced-data-sets")
    return reports


def pass_over_shards(config: Config, step: str, *, tars: bool) -> StepReport:
    """One pass of the network over the shards that miss something."""
    workspace = Workspace(config.workspace)
    operator = find_operator(config, workspace)
    match_shards(config, workspace)
    return enhance_shards(config, operator, step, tars=tars)


def match_shards(config: Config, workspace: Workspace) -> None:
    """Have the ground truth of every shard at hand.

    Raises:
        CorpusError: the reference shares no key with the images to enhance.
    """
    job = plan_matches(config, workspace)
    if job is not None:
        match_reference(job)
    require_matches(config, workspace)


def enhance_shards(
    config: Config,
    operator: OperatorRef,
    step: str,
    *,
    tars: bool,
    shards: Collection[str] | None = None,
) -> StepReport:
    """The pass over all shards, or over those that are named."""
    workspace = Workspace(config.workspace)
    fetch_metric_weights(config, operator, workspace)
    planned = list(plan_enhancement(config, operator, workspace, tars=tars, shards=shards))
    return run_step(
        StepRun.of(config, f"{step} {config.restored_name}"),
        enhance_shard,
        planned,
        computing(config.compute),
        total=sum(unit.images for unit in planned),
    )
