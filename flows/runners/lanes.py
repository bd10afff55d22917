"""Lanes: where the tasks of a step run, and how many of them at once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner


class Runner(Protocol):
    """Runs the tasks that are submitted to it, each as soon as there is room."""

    def submit(self, work: Task[Any, Any], parameters: dict[str, Any], /) -> PrefectFuture[Any]:
        """Submit a task with these parameters and return its future.

        Its ``result(raise_on_failure=False)`` returns the error of a task that failed.
        """


class Lanes(Protocol):
    """Where the tasks of a step run, and how many of them at once."""

    @property
    def at_once(self) -> int:
        """How many tasks to submit before one has ended; to be read while the lanes are open."""

    @property
    def reports_progress(self) -> bool:
        """Whether this process learns of every image, rather than of a task's end only."""

    def opened(self) -> AbstractContextManager[Runner]:
        """Yield a runner; when the block has ended, no task is under way."""


@dataclass(frozen=True)
class Threads:
    """Lanes that are threads of this process."""

    at_once: int
    reports_progress: ClassVar[bool] = True

    @contextmanager
    def opened(self) -> Iterator[Runner]:
        """Yield a runner; when the block has ended, no task is under way."""
        pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=self.at_once)
        with pool:
            yield cast(Runner, pool)
