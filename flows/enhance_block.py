"""Enhance some shards: what a worker of the pool is given of a large data set."""

from prefect import flow

from flows.enhance_dataset import enhance_shards
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, leave_table
from tasks.config import Config
from tasks.fit.operators import OperatorRef


@flow(name="enhance-block", flow_run_name="enhance {config.restored_name} {shards[0]}")
@at_work
def enhance_block(config: Config, operator: OperatorRef, shards: tuple[str, ...]) -> StepReport:
    """Enhance these shards at every alpha, and score them in the same pass.

    The operator is fitted and the reference matched before; see ``backfill_in_blocks``.
    """
    report = enhance_shards(config, operator, "enhance", tars=True, shards=shards)
    leave_table([report], "enhanced-shards")
    return report
