"""Lanes: where the tasks of a step run, and how many side by side."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

from prefect import Task
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner


class Runner(Protocol):
    """Takes tasks and runs them when there is room."""

    def submit(self, work: Task[Any, Any], parameters: dict[str, Any], /) -> PrefectFuture[Any]:
        """The future of a task with these parameters; its ``result`` need not raise."""


class Lanes(Protocol):
    """Where the tasks of a step run."""

    @property
    def at_once(self) -> int:
        """Tasks to have under way; known while the lanes are open."""

    @property
    def reports_progress(self) -> bool:
        """Whether tasks tell this process of every image, rather than when they end."""

    def opened(self) -> AbstractContextManager[Runner]:
        """The runner, ready for tasks; when the block ends, none is under way."""


@dataclass(frozen=True)
class Threads:
    """Threads of this process, so many."""

    at_once: int
    reports_progress: ClassVar[bool] = True

    @contextmanager
    def opened(self) -> Iterator[Runner]:
        """The runner, ready for tasks; when the block ends, none is under way."""
        pool: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=self.at_once)
        with pool:
            yield cast(Runner, pool)
