"""What a listener, such as a terminal, is told: how many images are done, and what is to be known.

A task says the first while it works, a plan the second while it lists.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


def _nobody(told: object) -> None:
    """Do nothing: the listener where there is no other."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=_nobody)
_hearer: ContextVar[Callable[[str], None]] = ContextVar("hearer", default=_nobody)


def advance(images: int) -> None:
    """Tell the listener that so many more images are done."""
    _listener.get()(images)


def say(sentence: str) -> None:
    """Tell the listener what people should know of this run, a sentence without full stop."""
    _hearer.get()(sentence)


@contextmanager
def reporting_to(
    listener: Callable[[int], None], hearer: Callable[[str], None] = _nobody
) -> Iterator[None]:
    """Have tasks that start while the block runs tell the listener, from their own threads.

    Prefect's thread runner gives tasks a copy of this context. A task in another process has
    no listener, and its images are counted when it is done.

    Args:
        listener: called with how many more images are done.
        hearer: called with sentences of what the block itself does.
    """
    tokens = _listener.set(listener), _hearer.set(hearer)
    try:
        yield
    finally:
        _listener.reset(tokens[0])
        _hearer.reset(tokens[1])
