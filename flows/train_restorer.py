"""Train: clean and degraded shards go in, a trained restorer and the course of its training out."""

from prefect import flow

from flows.runners.choice import connected
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave, leave_table
from tasks.config import Config, Run
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.train.plan import trained_map
from tasks.train.table import course_of, read_rows


@flow(name="train-restorer", flow_run_name="train {config.name}")
@at_work
@connected
def train_restorer(config: Config) -> list[StepReport]:
    """Train what is missing of the restorer; does nothing where none is trained.

    Returns:
        what each step did.
    """
    run = Run.of(config)
    if not isinstance(config.restore, ResidualTransport):
        return []
    reports = do_steps(run, "train")
    leave_table(reports, "trained-restorer")
    rows = read_rows(run.workspace.store, [trained_map(run).artifact])
    course = course_of(rows, config.restore.train.segment)
    leave(course, "training", f"Mean losses of {config.name}'s restorer, and its PSNR")
    return reports
