"""The whole job in one run: a configuration goes in, the report's address comes out."""

from prefect import flow

from flows.enhance_dataset import enhance_dataset
from flows.evaluate_dataset import evaluate_dataset, report_dataset
from flows.fit_transport import fit_transport
from flows.restore_dataset import restore_dataset
from flows.runners.choice import connected
from flows.runs.presence import at_work
from flows.runs.ready import require_ready_on_worker
from flows.shard_corpus import shard_corpus
from flows.steps.reports import StepReport
from flows.steps.retention import apply_retention
from flows.train_restorer import train_restorer
from tasks.config import Config
from tasks.jobs.events import tell_run


@flow(name="backfill", flow_run_name="backfill {config.name}")
@at_work
@connected
def backfill(config: Config) -> tuple[list[StepReport], str]:
    """Shard, train, restore, fit, enhance, evaluate and report; what is done is not done again.

    At the end, results of former operators go that the configuration's ``keep`` does not hold.

    Returns:
        what each step did, and the address of the report.

    Raises:
        ConfigurationError: on a worker, if something would make it fail; all of it is told at once.
    """
    require_ready_on_worker(config)
    reports = [
        *shard_corpus(config),
        *train_restorer(config),
        *restore_dataset(config),
        *fit_transport(config),
        *enhance_dataset(config),
        *evaluate_dataset(config),
    ]
    address = report_dataset(config)
    apply_retention(config)
    steps = [report.facts() for report in reports]
    tell_run("finished", config.name, {"report": address, "steps": steps})
    return reports, address
