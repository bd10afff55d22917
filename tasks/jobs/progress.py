"""How far the running step is, told to whoever listens: a terminal, or nobody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody(images: int) -> None:
    """Nobody listens."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=_nobody)


def advance(images: int) -> None:
    """So many more images are through the running step."""
    _listener.get()(images)


@contextmanager
def reporting_to(listener: Callable[[int], None]) -> Iterator[None]:
    """Tasks started in the block report to the listener, from their own threads.

    Prefect's thread runner gives tasks a copy of this context; a task in another
    process has no listener, and its images are counted when it is done.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
