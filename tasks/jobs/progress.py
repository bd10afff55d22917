"""What a listener, such as a terminal, is told: what is done, and what is to be known.

A task says while it works how many images are done, or which part it is at; a plan says what is
to be known while it lists.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar


def _nobody(told: object) -> None:
    """Do nothing: the listener where there is no other."""


_listener: ContextVar[Callable[[int], None]] = ContextVar("listener", default=_nobody)
_hearer: ContextVar[Callable[[str], None]] = ContextVar("hearer", default=_nobody)
_follower: ContextVar[Callable[[str], None]] = ContextVar("follower", default=_nobody)


def advance(images: int) -> None:
    """Tell the listener that so many more images are done."""
    _listener.get()(images)


def say(sentence: str) -> None:
    """Tell the listener what people should know of this run, a sentence without full stop."""
    _hearer.get()(sentence)


def at(part: str) -> None:
    """Tell the listener which part of a work that does not count images is begun.

    Args:
        part: a few words, as in 'statistics of shard 3 of 40'.
    """
    _follower.get()(part)


T = TypeVar("T")


def counted(part: str, items: Sequence[T]) -> Iterator[T]:
    """Yield the items, and tell the listener which of them is being worked on.

    Args:
        part: what is done with each, and what they are, as in 'reading the moments of shard'.
        items: of which there are as many as it is told.
    """
    for number, item in enumerate(items, start=1):
        at(f"{part} {number} of {len(items)}")
        yield item


def as_done(images: Iterable[T]) -> Iterator[T]:
    """Yield the images, and tell the listener of each that it is done."""
    for image in images:
        advance(1)
        yield image


@contextmanager
def reporting_to(
    listener: Callable[[int], None],
    hearer: Callable[[str], None] = _nobody,
    follower: Callable[[str], None] = _nobody,
) -> Iterator[None]:
    """Have tasks that start while the block runs tell the listener, from their own threads.

    Prefect's thread runner gives tasks a copy of this context. A task in another process has
    no listener, and its images are counted when it is done.

    Args:
        listener: called with how many more images are done.
        hearer: called with sentences of what the block itself does.
        follower: called with the parts of the work, from tasks too.
    """
    tokens = _listener.set(listener), _hearer.set(hearer), _follower.set(follower)
    try:
        yield
    finally:
        _listener.reset(tokens[0])
        _hearer.reset(tokens[1])
        _follower.reset(tokens[2])
