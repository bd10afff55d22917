"""Progress bars on a terminal, one for each step, one below the other."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from flows.steps.pace import Pace

_WIDE = 110
"""The width of a console from which a line has room for a bar beside its numbers and words."""


class Bars:
    """Progress bars with images per second and time to go, drawn ten times a second.

    A step that does not count images has a bar that swings, and says which part it is at.

    A narrow console has the numbers and words without the bar itself: words are wrapped, and
    numbers are whole.
    """

    def __init__(self, console: Console, footer: str = "") -> None:
        """Draw nothing yet.

        Args:
            console: where.
            footer: a line below the bars, which is gone when they are drawn for the last time.
        """
        is_wide = console.width >= _WIDE
        self._progress = _WithFooter(
            _words("{task.description}"),
            *([BarColumn(bar_width=30)] if is_wide else []),
            _Images(is_wide),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            _Remark(),
            console=console,
        )
        self._progress.footer = footer
        self._task: TaskID | None = None
        self._pace = Pace(None)
        self._told = set[str]()

    def begin(self, step: str, total: int | None) -> None:
        """Add a bar for a step."""
        self._pace = Pace(total)
        self._task = self._progress.add_task(step, total=total, pace=self._pace, note="", part="")

    def expect(self, total: int) -> None:
        """Give the newest bar its length."""
        self._pace.total = total
        if self._task is not None:
            self._progress.update(self._task, total=total)

    def advance(self, images: int) -> None:
        """Move the newest bar."""
        self._pace.advance(images)
        self._move()

    def pass_by(self, images: int) -> None:
        """Move the newest bar by images that were done before."""
        self._pace.pass_by(images)
        self._move()

    def at(self, part: str) -> None:
        """Say beside the newest bar which part of its step is being done."""
        if self._task is not None:
            self._progress.update(self._task, part=part)

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars, whole."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def finish(self, note: str) -> None:
        """Stop the newest bar where it stands, and show the note beside it."""
        if self._task is None:
            return
        total = self._pace.done if self._pace.total is None else self._pace.total
        completed = self._pace.done if total else 1  # a bar of nothing is full
        self._progress.update(self._task, total=total or 1, completed=completed, note=note, part="")
        self._progress.stop_task(self._task)
        self._progress.refresh()
        self._task = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw the bars for as long as the block runs."""
        with self._progress:
            try:
                yield
            finally:
                self._progress.footer = ""

    def _move(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=self._pace.done)


class _WithFooter(Progress):
    """Bars with a line below them while they move."""

    footer = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The table of bars, and the line if there is one."""
        yield from super().get_renderables()
        if self.footer:
            yield Text(self.footer, overflow="fold")


class _Images(ProgressColumn):
    """How many images are done, of how many; nothing for a step that does not count them."""

    def __init__(self, is_wide: bool) -> None:
        super().__init__(Column(no_wrap=True))
        self._unit = " images" if is_wide else ""

    def render(self, task: Task) -> Text:
        """Return the count as it is at this moment."""
        pace: Pace = task.fields["pace"]
        total = pace.total if pace.total is not None else pace.done if task.finished else None
        if not (total or pace.done):
            return Text("")
        return Text(f"{pace.done}{f'/{total}' if total else ''}{self._unit}")


class _Remark(ProgressColumn):
    """How fast a step is and which part it is at; once it has ended, how."""

    def __init__(self) -> None:
        super().__init__(Column(overflow="fold"))

    def render(self, task: Task) -> Text:
        """Return the words as they are at this moment."""
        pace: Pace = task.fields["pace"]
        speed = "" if task.stop_time is not None else pace.speed()
        return Text(", ".join(filter(None, (speed, task.fields["part"], task.fields["note"]))))


def _words(form: str) -> TextColumn:
    """A column of words that are wrapped where a line has no room for them."""
    return TextColumn(form, markup=False, table_column=Column(overflow="fold"))
