"""Tasks that tests run on a Ray cluster, whose processes import them from here."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, task

from tasks.io.machine.devices import leased
from tasks.io.machine.resources import allotment, cores
from tasks.io.networks.codecs import Autoencoder, load_codec
from tasks.jobs import Job, Outcome
from tasks.jobs.policy import SHARD_POLICY

T = TypeVar("T")

_PATIENCE_S = 120


@flow
def alone() -> Any:
    """What ``in_a_flow`` was told to do: the flow goes to the cluster with its tasks, as whole."""
    return _take()


def in_a_flow(work: Callable[[], T]) -> T:
    """What some work gives that is done in a flow run."""
    _left.append(work)
    found: T = alone()
    return found


def _take() -> Any:
    return _left.pop()()


_left: list[Callable[[], Any]] = []


class Unit(Job):
    """One of some units of work."""

    number: int
    codec: Autoencoder | None = None
    together: int = 1
    """Units that must have begun before one may end."""

    def tell(self, *words: object) -> None:
        """Add a line to what the unit tells, in the workspace."""
        with (Path(self.workspace) / f"{self.number}").open("a") as file:
            file.write(" ".join(map(str, words)) + "\n")


@task(**SHARD_POLICY)
def load(job: Unit) -> Outcome:
    """Load a codec, and tell which process has it, and what it may use."""
    share = allotment()
    with leased("auto") as device:
        codec = load_codec(job.codec, device, "float32")
        job.tell(os.getpid(), id(codec), device, share.devices[0], cores())
        deadline = time.monotonic() + _PATIENCE_S
        while len(list(Path(job.workspace).iterdir())) < job.together:
            assert time.monotonic() < deadline, "nobody comes"
            time.sleep(0.05)
    return Outcome(images=1)


@task(task_run_name="die-{job.number}", **SHARD_POLICY)
def die(job: Unit) -> Outcome:
    """Kill the process, as a crash in a library would: always for 0, and for 1 the first time."""
    first = not (Path(job.workspace) / "1").exists()
    job.tell(os.getpid())
    if job.number == 0 or (job.number == 1 and first):
        time.sleep(2)  # by then Prefect knows of the task
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(images=1)


@task(**SHARD_POLICY)
def fail(job: Unit) -> Outcome:
    """Raise what is no user's mistake."""
    raise RuntimeError(f"unit {job.number} is cursed")


@task(**SHARD_POLICY)
def linger(job: Unit) -> Outcome:
    """Work for minutes, and tell when that ends."""
    job.tell("begun")
    try:
        for _ in range(6000):
            time.sleep(0.1)
    finally:
        job.tell("ended")
    return Outcome(images=1)
