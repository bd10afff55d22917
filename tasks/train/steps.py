"""The steps of a training: those of a segment, and the state that a segment begins with."""

import math
from collections.abc import Callable, Iterator
from functools import partial

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
    begin = partial(learner_before, job, device, batches, watch, averaged)
    return _after(job, learner, begin, batches, watch)


def _after(
    job: TrainJob,
    learner: Learner,
    begin: Callable[[], Learner],
    batches: Batches,
    watch: Stopwatch,
) -> tuple[Learner, list[Row]]:
    """Return the learner after a segment, and the rows of its steps; see ``trained``.

    Args:
        job: of the segment.
        learner: as it was before the segment; it is trained.
        begin: returns another that is as it was before the segment.
        batches: of the training.
        watch: counts the laps.
    """
    try:
        return learner, list(steps_of(job, learner, batches, watch))
    except NotFinite as error:
        if learner.is_halved:
            raise _diverged(job, error) from error
        say(f"{error}; the segment is begun again at half the rate, which stays halved")
    learner = begin()
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

    At the end the map's loss is looked at on the batch after the last: a state that the next
    segment could not begin with, at any rate, is no checkpoint.

    Raises:
        NotFinite: a loss is not finite.
    """
    numbers = range(job.steps.start, job.steps.stop + 1)
    for step, batch in zip(numbers, watch.each("read", batches.of_steps(numbers)), strict=True):
        is_behind = step == job.steps.stop
        with watch.lap("train"):
            losses = learner.look(batch) if is_behind else learner.step(step, batch)
        if not all(math.isfinite(loss) for loss in losses if loss is not None):
            raise NotFinite(
                f"the losses of the training must be finite, but are not in step {step}"
            )
        if not is_behind:
            advance(job.train.batch)
            yield Row(step, losses.map, losses.potential, learner.rate)


def learner_before(
    job: TrainJob, device: str, batches: Batches, watch: Stopwatch, averaged: Averaging = alone
) -> Learner:
    """Return the learner as it was before the segment.

    A checkpoint that is not there any more is made again from the last that is, at half the rate
    from where it was halved.

    Raises:
        ConfigurationError: a loss is not finite at half the rate either.
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
        begin = partial(learner_before, earlier, device, batches, watch, averaged)
        learner, _ = _after(earlier, learner, begin, batches, watch)
    return learner


def checkpoint_of(artifact: str) -> str:
    """Return the path of the checkpoint of a segment."""
    return f"{artifact}.safetensors"
