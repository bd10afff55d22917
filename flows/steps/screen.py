"""The terminal: one progress bar a step, tables, sentences; and silence elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class Screen(Protocol):
    """Shows steps as they go on; ``advance`` is called from several threads."""

    def begin(self, step: str, total: int | None) -> None:
        """A step starts, over so many images where that is known."""

    def advance(self, images: int) -> None:
        """So many more images are through."""

    def finish(self, note: str) -> None:
        """The step has ended; the note says how."""


class Silence:
    """Shows nothing: a worker has no terminal."""

    def begin(self, step: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, images: int) -> None:
        """Nothing."""

    def finish(self, note: str) -> None:
        """Nothing."""


class Bars:
    """Progress bars on standard error, one below the other."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
        )
        self._task: TaskID | None = None

    def begin(self, step: str, total: int | None) -> None:
        """A new bar."""
        self._task = self._progress.add_task(step, total=total, note="")

    def advance(self, images: int) -> None:
        """Move the newest bar."""
        if self._task is not None:
            self._progress.advance(self._task, images)

    def finish(self, note: str) -> None:
        """Leave the newest bar where it stands, and say how the step ended."""
        if self._task is None:
            return
        bar = next(task for task in self._progress.tasks if task.id == self._task)
        total = bar.completed if bar.total is None else bar.total
        completed = min(bar.completed, total)  # a shard that is tried again counts again
        self._progress.update(self._task, total=total, completed=completed, note=note)
        self._progress.stop_task(self._task)
        self._progress.refresh()
        self._task = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Bars are drawn while the block runs."""
        with self._progress:
            yield


_SILENCE = Silence()

screen: ContextVar[Screen] = ContextVar("screen", default=_SILENCE)
"""Where the flows of this process show what they do."""
