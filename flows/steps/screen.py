"""Where a process shows its steps: bars on a terminal, lines elsewhere, nowhere on a worker."""

from contextvars import ContextVar
from typing import Protocol


class Screen(Protocol):
    """Shows the progress of one step after the other.

    ``expect``, ``advance`` and ``at`` are called from several threads at once.
    """

    def begin(self, step: str, total: int | None) -> None:
        """Show that a step starts; ``total`` is its number of images where that is known."""

    def expect(self, total: int) -> None:
        """Show how many images a step that has begun will have."""

    def advance(self, images: int) -> None:
        """Show that so many more images are done."""

    def pass_by(self, images: int) -> None:
        """Show that so many more images were done before, which took this run no time."""

    def at(self, part: str) -> None:
        """Show which part of a step that does not count images is being done."""

    def say(self, sentence: str) -> None:
        """Show what people should know of this run; the same sentence is shown once only."""

    def finish(self, note: str) -> None:
        """Show that the step has ended, with a note on how."""


class Silence:
    """Shows nothing, because a worker has no terminal."""

    def begin(self, step: str, total: int | None) -> None:
        """Do nothing."""

    def expect(self, total: int) -> None:
        """Do nothing."""

    def advance(self, images: int) -> None:
        """Do nothing."""

    def pass_by(self, images: int) -> None:
        """Do nothing."""

    def at(self, part: str) -> None:
        """Do nothing."""

    def say(self, sentence: str) -> None:
        """Do nothing."""

    def finish(self, note: str) -> None:
        """Do nothing."""


class Both:
    """Shows everything on two screens, such as a terminal and a log."""

    def __init__(self, first: Screen, second: Screen) -> None:
        self._screens = first, second

    def begin(self, step: str, total: int | None) -> None:
        """Show that a step starts."""
        for each in self._screens:
            each.begin(step, total)

    def expect(self, total: int) -> None:
        """Show how many images a step that has begun will have."""
        for each in self._screens:
            each.expect(total)

    def advance(self, images: int) -> None:
        """Show that so many more images are done."""
        for each in self._screens:
            each.advance(images)

    def pass_by(self, images: int) -> None:
        """Show that so many more images were done before."""
        for each in self._screens:
            each.pass_by(images)

    def at(self, part: str) -> None:
        """Show which part of the step is being done."""
        for each in self._screens:
            each.at(part)

    def say(self, sentence: str) -> None:
        """Show a sentence."""
        for each in self._screens:
            each.say(sentence)

    def finish(self, note: str) -> None:
        """Show that the step has ended."""
        for each in self._screens:
            each.finish(note)


_SILENCE = Silence()

screen: ContextVar[Screen] = ContextVar("screen", default=_SILENCE)
"""Where the flows of the current context show their steps; nowhere by default."""
