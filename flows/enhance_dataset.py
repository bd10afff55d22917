"""Enhance: restored shards and an operator go in, a set of enhanced shards per alpha comes out."""

from prefect import flow

from flows.runs.assets import tell_enhanced
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave_table
from tasks.config import Config, Run


@flow(name="enhance-dataset", flow_run_name="enhance {config.name}")
@at_work
def enhance_dataset(config: Config) -> list[StepReport]:
    """Enhance every shard at every alpha, and score it in the same pass; return what was done."""
    run = Run.of(config)
    reports = do_steps(run, "enhance")
    leave_table(reports, "enhanced-data-sets")
    if any(report.made for report in reports):
        tell_enhanced(run)
    return reports
