"""Restore: shards of degraded images, or of clean ones to be degraded, give restored shards."""

from prefect import flow

from flows.runners.choice import connected
from flows.runs.assets import tell_data_sets
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave_table, made_data_sets
from tasks.config import Config, Run


@flow(name="restore-dataset", flow_run_name="restore {config.name}")
@at_work
@connected
def restore_dataset(config: Config) -> list[StepReport]:
    """Restore what is missing; does nothing where restored images are given.

    Returns:
        what each step did.
    """
    if config.restore is None:
        return []
    run = Run.of(config)
    reports = do_steps(run, "restore")
    leave_table(reports, "restored-data-sets")
    tell_data_sets(run, made_data_sets(reports))
    return reports
