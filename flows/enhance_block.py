"""Enhance a block of shards: the part of a large data set that one worker is given."""

from prefect import flow

from flows.runners.choice import computing
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun, leave_table
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.config.step_names import enhancement_step
from tasks.enhance.enhance import enhance_shard
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import fetch_metric_weights
from tasks.fit.operators import FittedRun, OperatorRef
from tasks.io.workspace import Workspace


@flow(name="enhance-block", flow_run_name="enhance {config.restored_name} {shards[0]}")
@at_work
def enhance_block(config: Config, operator: OperatorRef, shards: tuple[str, ...]) -> StepReport:
    """Enhance these shards at every alpha, and score them in the same pass.

    The operator must be fitted, and the reference matched; see ``backfill_in_blocks``.

    Args:
        config: what is wanted.
        operator: that the shards are enhanced with.
        shards: names of the shards.

    Raises:
        ShardsFailed: some shards could not be done.
    """
    run = FittedRun(config, Workspace(config.workspace), operator)
    fetch_metric_weights(run)
    units = list(plan_enhancement(run, with_images=True, shards=shards))
    step = StepRun.of(config, enhancement_step(config))
    total = sum(unit.images for unit in units)
    report = run_step(step, enhance_shard, units, computing(config.compute), total)
    leave_table([report], "enhanced-shards")
    return report
