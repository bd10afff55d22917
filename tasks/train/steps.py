"""The steps of a training: those of a segment, and the state that a segment begins with."""

import math
from collections.abc import Iterator

from tasks.jobs.progress import advance, at
from tasks.jobs.stopwatch import Stopwatch
from tasks.train.batches import Batches
from tasks.train.job import TrainJob
from tasks.train.learner import Learner
from tasks.train.table import Row


class NotFinite(ArithmeticError):
    """A loss is not finite; the text says at which step."""


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


def learner_before(job: TrainJob, device: str, batches: Batches, watch: Stopwatch) -> Learner:
    """Return the learner as it was before the segment.

    A checkpoint that is not there any more is made again from the last that is.
    """
    learner = Learner(job.train, device, is_paired=job.is_paired)
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
