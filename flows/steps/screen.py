"""Where a process shows its steps: progress bars on a terminal, or nowhere on a worker."""

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
from rich.table import Column


class Screen(Protocol):
    """Shows the progress of one step after the other.

    ``advance`` is called from several threads at once.
    """

    def begin(self, step: str, total: int | None) -> None:
        """Show that a step starts; ``total`` is its number of images where that is known."""

    def advance(self, images: int) -> None:
        """Show that so many more images are done."""

    def say(self, sentence: str) -> None:
        """Show what people should know of this run; the same sentence is shown once only."""

    def finish(self, note: str) -> None:
        """Show that the step has ended, with a note on how."""


class Silence:
    """Shows nothing, because a worker has no terminal."""

    def begin(self, step: str, total: int | None) -> None:
        """Do nothing."""

    def advance(self, images: int) -> None:
        """Do nothing."""

    def say(self, sentence: str) -> None:
        """Do nothing."""

    def finish(self, note: str) -> None:
        """Do nothing."""


_WIDE = 110
"""The width of a console from which a line has room for a bar beside its numbers and words."""


class Bars:
    """Progress bars on a console, one for each step, one below the other.

    A narrow console has the numbers and words without the bar itself: words are wrapped, and
    numbers are whole.
    """

    def __init__(self, console: Console) -> None:
        is_wide = console.width >= _WIDE
        self._progress = Progress(
            _words("{task.description}"),
            *([BarColumn(bar_width=30)] if is_wide else []),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            *([_words("images")] if is_wide else []),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _words("{task.fields[note]}"),
            console=console,
        )
        self._task: TaskID | None = None
        self._told = set[str]()

    def begin(self, step: str, total: int | None) -> None:
        """Add a bar for a step."""
        self._task = self._progress.add_task(step, total=total, note="")

    def advance(self, images: int) -> None:
        """Move the newest bar."""
        if self._task is not None:
            self._progress.advance(self._task, images)

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars, whole."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def finish(self, note: str) -> None:
        """Stop the newest bar where it stands, and show the note beside it."""
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
        """Draw the bars for as long as the block runs."""
        with self._progress:
            yield


def _words(form: str) -> TextColumn:
    """A column of words that are wrapped where a line has no room for them."""
    return TextColumn(form, markup=False, table_column=Column(overflow="fold"))


_SILENCE = Silence()

screen: ContextVar[Screen] = ContextVar("screen", default=_SILENCE)
"""Where the flows of the current context show their steps; nowhere by default."""
