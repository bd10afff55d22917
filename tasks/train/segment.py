"""The task that trains a restorer for one segment: from a checkpoint to the next."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from prefect import task

from tasks.io.artifacts.parquet import write_table
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.ledger import Record
from tasks.io.machine.devices import leased
from tasks.io.machine.resources import cores
from tasks.io.networks.batches import is_for_want_of_memory
from tasks.io.workspace import Workspace
from tasks.jobs import Outcome, carry_out, publishing
from tasks.jobs.policy import SHARD_POLICY, logger
from tasks.jobs.stopwatch import Stopwatch, timed
from tasks.train.batches import Batches
from tasks.train.draws import Draws
from tasks.train.job import TrainJob
from tasks.train.learner import Learner
from tasks.train.processes import trained_together
from tasks.train.steps import checkpoint_of, trained
from tasks.train.table import Row, table_of
from tasks.train.validation import validated


@task(name="train", task_run_name="train {job.dataset} segment {job.number}", **SHARD_POLICY)
def train_segment(job: TrainJob) -> Outcome:
    """Write the checkpoint of one segment, unless another run has; safe to repeat."""
    outcome = carry_out(job, write_segment)
    logger().info("trained %s: %s", job.artifact(), outcome)
    return outcome


def write_segment(job: TrainJob) -> Outcome:
    """Train for the steps of one segment; write the state after them, and a row for each step.

    Where a loss is not finite, the segment is begun again at half the rate, which stays halved.

    Raises:
        StepMissing: the segment before it is not done.
        ConfigurationError: a loss is not finite at half the rate either, or the device has no
            memory for a step.
        CorpusError: there is nothing to train on.
    """
    with leased(job.compute.device) as device:
        try:
            return timed(device, partial(_write, job, device))
        except (RuntimeError, MemoryError) as error:
            if not is_for_want_of_memory(error):
                raise
            raise ConfigurationError(
                f"{device} must have memory for a step of the training, but has too little: lower "
                "restore.train.batch, crop or width"
            ) from error


def _write(job: TrainJob, device: str, watch: Stopwatch) -> Outcome:
    workspace = job.opened()
    before = _require_before(job, workspace)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(cores()))
        batches = Batches(job, workspace, Draws(job, workspace), pool)
        publication = stack.enter_context(publishing(workspace, job.target))
        learner, rows = _trained(job, device, batches, watch)
        with watch.lap("metrics"):
            found = validated(learner.average, batches.held_out(), device)
        if found is not None:
            rows[-1] = rows[-1]._replace(psnr=found[0], degraded_psnr=found[1])
        learner.save(publication.file(checkpoint_of(job.artifact())))
        write_table(table_of(rows), publication.file(f"{job.artifact()}.parquet"))
        outcome = Outcome(images=len(rows) * job.train.batch)
        known = {"before": before.digest} if before is not None else {}
        publication.facts |= {**outcome.facts(), **watch.facts(), **known}
    if before is not None and job.number % job.train.keep_every:
        workspace.ledger.thin(before, checkpoint_of(before.artifact))
    return outcome


def _trained(
    job: TrainJob, device: str, batches: Batches, watch: Stopwatch
) -> tuple[Learner, list[Row]]:
    """Return the learner after the segment, and the rows of its steps; see ``write_segment``."""
    if job.train.processes == 1:
        return trained(job, device, batches, watch)
    learner = Learner(job.train, device, is_paired=job.is_paired)
    with watch.lap("train"):
        return learner, trained_together(job, learner)


def _require_before(job: TrainJob, workspace: Workspace) -> Record | None:
    """Return the record of the segment before; None for the first.

    Raises:
        StepMissing: it is not done.
    """
    if job.number == 0:
        return None
    records = workspace.ledger.records(job.artifact(job.number - 1))
    if not records:
        raise StepMissing(
            f"{job.artifact(job.number - 1)} must be finished, but is not; run `dotpipe train "
            "CONFIG` again"
        )
    return records[-1]
