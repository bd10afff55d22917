"""Where a run that was stopped ends work on a tar: also where no image of it comes for long."""

import time
from typing import BinaryIO

from tasks.jobs.progress import advance

PAUSE_S = 0.2
"""Seconds between two questions whether the run was stopped, each of which shows progress too."""


class Stops:
    """Ends a work, by the error of whoever listens to its progress, if the run was stopped."""

    def __init__(self) -> None:
        self._next = 0.0

    def heed(self) -> None:
        """End here if the run was stopped; to be called as often as one likes."""
        if (now := time.monotonic()) >= self._next:
            self._next = now + PAUSE_S
            advance(0)


class StoppableStream:
    """A stream that is only read, until the run is stopped.

    Args:
        stream: gives the bytes.
        stops: end the reading.
    """

    def __init__(self, stream: BinaryIO, stops: Stops) -> None:
        self._stream, self._stops = stream, stops

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, or fewer; none only at the end."""
        self._stops.heed()
        return self._stream.read(size)
