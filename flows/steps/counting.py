"""Counting the images of a step beside its work, where its plan is too large to be held."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from flows.steps.screen import screen
from tasks.io.errors import DotpipeError

Counting = Callable[[Callable[[], bool]], int | None]
"""Counts the images of a step; asks now and then whether it is to stop, and returns None then, and
where they cannot be counted."""


@contextmanager
def counted_beside(count: Counting) -> Iterator[None]:
    """Count in a thread while the block runs, and show how many images there will be.

    What cannot be listed is told by the block itself, which lists the same.
    """
    view, ended = screen.get(), threading.Event()

    def work() -> None:
        with suppress(DotpipeError, OSError):
            total = count(ended.is_set)
            if total is not None and not ended.is_set():
                view.expect(total)

    counting = threading.Thread(target=work, name="counting", daemon=True)
    counting.start()
    try:
        yield
    finally:
        ended.set()
        counting.join()
