"""The steps of a training: those of a segment, and the state that a segment begins with."""

import math
from collections.abc import Iterator

from tasks.io.errors import ConfigurationError
from tasks.jobs.progress import advance, at, say
from tasks.jobs.stopwatch import Stopwatch
from tasks.train.batches import Batches
from tasks.train.job import TrainJob
from tasks.train.learner import Averaging, Learner, alone
from tasks.train.table import Row


class NotFinite(ArithmeticError):
    """A loss is not finite; the text says at which step."""


def trained(
    job: TrainJob, device: str, batches: Batches, watch: Stopwatch, averaged: Averaging = alone
) -> tuple[Learner, list[Row]]:
    """Return the learner after a segment, and the rows of its steps.

    Where a loss is not finite, the segment is begun again at half the rate, which stays halved.

    Args:
        job: of the segment.
        device: cpu, cuda or cuda:1, not auto.
        batches: of the training.
        watch: counts the laps.
        averaged: of several processes that share a batch.

    Raises:
        ConfigurationError: a loss is not finite at half the rate either.
        CorpusError: there is nothing to train on.
    """
    learner = learner_before(job, device, batches, watch, averaged)
    try:
        return learner, list(steps_of(job, learner, batches, watch))
    except NotFinite as error:
        if learner.is_halved:
            raise _diverged(job, error) from error
        say(f"{error}; the segment is begun again at half the rate, which stays halved")
    learner = learner_before(job, device, batches, watch, averaged)
    learner.is_halved = True
    try:
        return learner, list(steps_of(job, learner, batches, watch))
    except NotFinite as error:
        raise _diverged(job, error) from error


def _diverged(job: TrainJob, error: NotFinite) -> ConfigurationError:
    return ConfigurationError(
        f"{error} at half the rate either, {job.train.rate / 2:g}: lower restore.train.rate, "
        "or restore.train.potential_rate alone"
    )


def steps_of(job: TrainJob, learner: Learner, batches: Batches, watch: Stopwatch) -> Iterator[Row]:
    """Do the steps of a segment, and yield a row for each.

    Raises:
        NotFinite: a loss is not finite.
    """
    for step, batch in zip(job.steps, watch.each("read", batches.of_steps(job.steps)), strict=True):
        with watch.lap("train"):
            losses = learner.step(step, batch)
        if not all(math.isfinite(loss) for loss in losses if loss is not None):
            raise NotFinite(
                f"the losses of the training must be finite, but are not in step {step}"
            )
        advance(job.train.batch)
        yield Row(step, losses.map, losses.potential, learner.rate)


def learner_before(
    job: TrainJob, device: str, batches: Batches, watch: Stopwatch, averaged: Averaging = alone
) -> Learner:
    """Return the learner as it was before the segment.

    A checkpoint that is not there any more is made again from the last that is.
    """
    learner = Learner(job.train, device, is_paired=job.is_paired, averaged=averaged)
    store, last = job.opened().store, job.number - 1
    while last >= 0 and not store.exists(checkpoint_of(job.artifact(last))):
        last -= 1
    if last >= 0:
        path = checkpoint_of(job.artifact(last))
        with watch.lap("load networks"), store.fetched(path) as file:
            learner.load(file, path)
    for number in range(last + 1, job.number):
        at(f"segment {number} again, whose checkpoint is not there any more")
        earlier = job.model_copy(update={"number": number})
        for _ in steps_of(earlier, learner, batches, watch):
            pass
    return learner


def checkpoint_of(artifact: str) -> str:
    """Return the path of the checkpoint of a segment."""
    return f"{artifact}.safetensors"
