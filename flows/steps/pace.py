"""The pace of a step: images that are done go in; speed and time to go come out."""

import threading
import time
from collections.abc import Callable


class Pace:
    """Counts the images of one step; may be told and asked by several threads at once.

    Images that were done before this run say nothing about how fast it is, and count for what is
    left only.
    """

    def __init__(self, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at no image.

        Args:
            total: images of the step; None where that is not known.
            clock: seconds of any beginning.
        """
        self.total = total
        self._clock, self._begun, self._lock = clock, clock(), threading.Lock()
        self._before = self._fresh = 0

    def advance(self, images: int) -> None:
        """Count images that this run has done."""
        with self._lock:
            self._fresh += images

    def pass_by(self, images: int) -> None:
        """Count images that were done before this run."""
        with self._lock:
            self._before += images

    @property
    def done(self) -> int:
        """Images that are done, and never more than there are."""
        done = self._before + self._fresh  # a shard that is tried again counts again
        return done if self.total is None else min(done, self.total)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return self._clock() - self._begun

    @property
    def rate(self) -> float:
        """Images that this run has done per second of the step; 0 before the first."""
        elapsed = self.elapsed_s
        return self._fresh / elapsed if elapsed > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None where that cannot be known."""
        if self.total is None or not self._fresh or self.done >= self.total:
            return None
        return (self.total - self.done) / self.rate

    def count(self) -> str:
        """How far the step is, as in '340 of 1000 images'; empty for one that is not of images."""
        if self.total is None:
            return f"{self.done} images" if self.done else ""
        return f"{self.done} of {self.total} images" if self.total else ""

    def speed(self) -> str:
        """How fast it is, as in '12.3 images/s, 0:00:54 to go'; empty before the first image."""
        left = self.left_s
        parts = [f"{brief(self.rate)} images/s"] if self._fresh else []
        return ", ".join([*parts, *([] if left is None else [f"{span(left)} to go"])])


def span(seconds: float) -> str:
    """A time as hours, minutes and seconds, as in '0:01:20'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def brief(number: float) -> str:
    """A number as text with three digits or more and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
