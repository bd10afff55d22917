"""Threads for work that waits for a disk or a network more than it computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

SIDE_BY_SIDE = 16
"""Requests for small files that are made at once; S3's client has 32 connections."""


def side_by_side(
    function: Callable[[T], R], items: Iterable[T], threads: int = SIDE_BY_SIDE
) -> Iterator[R]:
    """Yield ``function`` of every item in the items' order, computed by a pool of threads.

    At most twice as many items as there are threads are taken ahead of what was used.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="side-by-side") as pool:
        yield from ordered_map(pool, function, items, ahead=2 * threads)


def ordered_map(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Yield ``function`` of every item in the items' order, computed by a pool.

    Args:
        pool: computes the results.
        function: of one item.
        items: taken as they are needed.
        ahead: items that are taken and whose results were not used yet, at most.
    """
    pending: deque[Future[R]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def read_ahead(make: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``make`` of every item in order; the next one is made while this one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
        pending: deque[Future[R]] = deque()
        for item in items:
            pending.append(reader.submit(make, item))
            if len(pending) > 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
