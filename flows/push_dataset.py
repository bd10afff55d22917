"""Push: a finished run goes in, its images, tables and numbers stand in a repository of the Hub."""

from collections.abc import Sequence

from prefect import flow

from flows.runners.choice import connected, copying
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun
from flows.steps.steps import run_step
from tasks.config import Config, Run
from tasks.fit.operators import fitted
from tasks.io.hub import Repository
from tasks.push.plan import Push
from tasks.push.sent import records_folder
from tasks.push.upload import send_shard


@flow(name="push-dataset", flow_run_name="push {config.name}")
@at_work
@connected
def push_dataset(config: Config, address: str, alphas: Sequence[float]) -> StepReport:
    """Send what the repository lacks, and show all of it with one commit at the end.

    Args:
        config: whose run is finished.
        address: of the repository, which is there, as ``hf://datasets/ORG/NAME``.
        alphas: some of ``enhance.alphas``.

    Returns:
        what was done.
    """
    run, repository = fitted(Run.of(config)), Repository.of(address)
    with run.workspace.claims.held(records_folder(repository), patient=True):
        push = Push(run, repository, alphas)
        units = push.units()
        step, total = StepRun.of(config, "push"), sum(unit.images for unit in units)
        report = run_step(step, send_shard, units, copying(config.compute), total)
        push.finish()
    return report
