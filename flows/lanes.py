"""Lanes: where the tasks of a step run, and how many side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.io.cores import cores
from tasks.sections import Compute

Runner = TaskRunner[PrefectFuture[Any]]


@dataclass(frozen=True)
class Lanes:
    """Threads of this process, so many."""

    at_once: int

    @contextmanager
    def opened(self) -> Iterator[Runner]:
        """The runner, ready for tasks; when the block ends, none is under way."""
        with cast(Runner, ThreadPoolTaskRunner(max_workers=self.at_once)) as runner:
            yield runner


def copying(compute: Compute) -> Lanes:
    """Lanes for tasks that read, decode and write files."""
    return Lanes(compute.shards_at_once or cores())


def computing(compute: Compute) -> Lanes:
    """Lanes for tasks of which the network is the bottleneck."""
    return Lanes(compute.shards_at_once or 1)
