"""Progress: a task says how many images are done, and a listener, such as a terminal, is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody(images: int) -> None:
    """Do nothing: the listener where there is no other."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=_nobody)


def advance(images: int) -> None:
    """Tell the listener that so many more images are done."""
    _listener.get()(images)


@contextmanager
def reporting_to(listener: Callable[[int], None]) -> Iterator[None]:
    """Have tasks that start while the block runs tell the listener, from their own threads.

    Prefect's thread runner gives tasks a copy of this context. A task in another process has
    no listener, and its images are counted when it is done.

    Args:
        listener: called with how many more images are done.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
