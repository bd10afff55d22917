"""Shard: folders of images go in, data sets of shards come out."""

from prefect import flow

from flows.runners.choice import connected
from flows.runs.assets import tell_data_sets
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave_table, made_data_sets
from tasks.config import Config, Run


@flow(name="shard-corpus", flow_run_name="shard {config.name}")
@at_work
@connected
def shard_corpus(config: Config) -> list[StepReport]:
    """Shard every corpus of the configuration.

    Returns:
        what each step did.
    """
    run = Run.of(config)
    run.workspace.store.sweep()
    run.workspace.claims.sweep()
    reports = do_steps(run, "shard")
    leave_table(reports, "data-sets")
    tell_data_sets(run, made_data_sets(reports))
    return reports
