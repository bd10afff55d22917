"""Pieces of remote files: gathered into few requests, and fetched one request ahead."""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

SPAN_BYTES = 4 << 20
"""Remote files are read in ranges of about this size, one of them ahead."""

_GAP_BYTES = 1 << 16
"""Bytes that are cheaper to read along than to ask again."""


class Slice(NamedTuple):
    """A piece of a file, in bytes."""

    offset: int
    size: int


class Span(NamedTuple):
    """The bytes of a file from ``start`` on, which hold some slices."""

    start: int
    slices: list[Slice]
    data: bytes


def fetch_ahead(
    fetch: Callable[[int, int], bytes], groups: Iterable[list[Slice]]
) -> Iterator[Span]:
    """The bytes around each group of slices, the next ones being fetched meanwhile.

    Args:
        fetch: gives the bytes from a start to before an end.
        groups: as ``spans`` makes them.
    """

    def span(group: list[Slice]) -> Span:
        start = min(piece.offset for piece in group)
        end = max(piece.offset + piece.size for piece in group)
        return Span(start, group, fetch(start, end) if end > start else b"")

    with ThreadPoolExecutor(1, thread_name_prefix="ranges") as reader:
        pending: deque[Future[Span]] = deque()
        try:
            for group in groups:
                pending.append(reader.submit(span, group))
                if len(pending) > 1:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Chunks(io.RawIOBase):
    """A file made of pieces that come one after the other."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the piece at hand goes; how many bytes that were."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def spans(slices: Iterable[Slice]) -> Iterator[list[Slice]]:
    """Slices in groups that one request should bring: in order, close together, not too much."""
    group: list[Slice] = []
    for piece in slices:
        if group:
            end = group[-1].offset + group[-1].size
            close = 0 <= piece.offset - end <= _GAP_BYTES
            if not close or piece.offset + piece.size - group[0].offset > SPAN_BYTES:
                yield group
                group = []
        group.append(piece)
    if group:
        yield group
