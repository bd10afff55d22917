"""Steps as lines of text, where no terminal shows bars: in a file, a pipe or a log."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.steps.pace import Pace, brief, span

PERIOD_S = 60.0
"""Seconds between two lines about a step that goes on."""


class Lines:
    """A line when a step begins, when it ends, and once a minute between."""

    def __init__(self, write: Callable[[str], None], period_s: float = PERIOD_S) -> None:
        """Write nothing yet.

        Args:
            write: takes a line, without its end; called from two threads.
            period_s: seconds between two lines about a step that goes on.
        """
        self._write, self._period_s = write, period_s
        self._step, self._part, self._pace = "", "", Pace(None)
        self._told = set[str]()
        self._ended = threading.Event()

    def begin(self, step: str, total: int | None) -> None:
        """Write that a step begins."""
        self._step, self._part, self._pace = step, "", Pace(total)
        self._write(f"{step}: begins" + (f", {total} images" if total else ""))

    def expect(self, total: int) -> None:
        """Remember how many images the step has."""
        self._pace.total = total

    def advance(self, images: int) -> None:
        """Count images that are done."""
        self._pace.advance(images)

    def pass_by(self, images: int) -> None:
        """Count images that were done before."""
        self._pace.pass_by(images)

    def at(self, part: str) -> None:
        """Remember which part of the step is being done."""
        self._part = part

    def say(self, sentence: str) -> None:
        """Write a sentence."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._write(sentence)

    def finish(self, note: str) -> None:
        """Write how the step has ended."""
        if not self._step:
            return
        pace, step = self._pace, self._step
        self._step = ""
        images = f", {pace.done} images" if pace.done else ""
        rate = f", {brief(pace.rate)} images/s" if pace.rate else ""
        self._write(f"{step}: ended after {span(pace.elapsed_s)}, {note}{images}{rate}")

    def stop(self) -> str:
        """Write no more; return the step that was under way, as ``standing`` does."""
        standing, self._write = self.standing(), lambda _: None
        return standing

    def standing(self) -> str:
        """The step that is under way and how far it is; empty between two."""
        if not self._step:
            return ""
        facts = (self._pace.count(), self._pace.speed(), self._part)
        known = ", ".join(fact for fact in facts if fact)
        return f"{self._step}: {known or f'at work for {span(self._pace.elapsed_s)}'}"

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Write a line a minute for as long as the block runs."""
        ticker = threading.Thread(target=self._tick, name="lines", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            self._ended.set()
            ticker.join()

    def _tick(self) -> None:
        while not self._ended.wait(self._period_s):
            if standing := self.standing():
                self._write(standing)
