"""What is printed, line by line into a logger: a stream to put in the place of a terminal's."""

import io
import logging
import threading


class Printed(io.TextIOBase):
    """A text stream whose lines become log records; of a line that is drawn over, the last state.

    What logging itself prints, because a handler has failed, is dropped: it would come back here.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger, self._rest = logger, ""
        self._lock, self._at_it = threading.Lock(), threading.local()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding that log files have."""
        return "utf-8"

    def writable(self) -> bool:
        """Whether it takes text, which it does."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that this text completes."""
        if getattr(self._at_it, "logging", False):
            return len(text)
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        self._at_it.logging = True
        try:
            for line in lines:
                if said := line.rstrip("\r").rpartition("\r")[2].rstrip():
                    self._logger.info("%s", said)
        finally:
            self._at_it.logging = False
        return len(text)
