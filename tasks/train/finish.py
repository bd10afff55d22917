"""The task that ends a training: it keeps the averages that restore, and one table of all steps."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from prefect import task

from tasks.io.artifacts.parquet import write_table
from tasks.io.ledger import digest_of
from tasks.io.ledger.publication import describe
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.networks.residual_transport.restorer import save_map
from tasks.jobs import Job, Target, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.stopwatch import Stopwatch
from tasks.train.batches import Batches
from tasks.train.draws import Draws
from tasks.train.job import TrainJob
from tasks.train.steps import learner_before
from tasks.train.table import read_rows, table_of


class FinishJob(Job):
    """Keep the weights of a restorer that is trained."""

    target: Target
    segments: tuple[str, ...]
    """Artifacts of all segments, in order."""
    after: TrainJob
    """What a segment after the last would be told, which begins with the trained weights."""


@task(name="keep", task_run_name="keep {job.target.artifact}", **SHARD_POLICY)
def finish_training(job: FinishJob) -> None:
    """Write the weights that restore, unless another run has; safe to repeat."""
    settle(job, write_restorer)


def write_restorer(job: FinishJob) -> None:
    """Write the averaged weights of the last checkpoint, and the table of all steps.

    The digest of the artifact is that of the weights: what is restored depends on nothing else.

    Raises:
        ArtifactDamaged: the checkpoint or a table is not there, or not whole.
    """
    workspace, artifact, after = job.opened(), job.target.artifact, job.after
    with ExitStack() as stack:
        device = stack.enter_context(leased(after.compute.device))
        pool = stack.enter_context(ThreadPoolExecutor(cores()))
        publication = stack.enter_context(publishing(workspace, job.target))
        batches = Batches(after, workspace, Draws(after, workspace), pool)
        learner = learner_before(after, device, batches, Stopwatch())
        rows = read_rows(workspace.store, job.segments)
        written, train = publication.file(f"{artifact}.safetensors"), after.train
        weights = learner.average.state_dict()
        save_map(weights, written, width=train.width, passes=train.passes)
        write_table(table_of(rows), publication.file(f"{artifact}.parquet"))
        publication.digest = digest_of(describe(written)["sha256"])
        shown = {"psnr": rows[-1].psnr, "degraded_psnr": rows[-1].degraded_psnr}
        publication.facts |= {"steps": len(rows), **shown}
    logger().info("trained %s steps=%d psnr=%s", artifact, len(rows), rows[-1].psnr)
