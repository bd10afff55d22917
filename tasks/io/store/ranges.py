"""Pieces of remote files: gathered into few requests, each sent while the last is used."""

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

SPAN_BYTES = 4 << 20
"""Bytes of a range; remote files are read in ranges of about this size, one of them ahead."""

_GAP_BYTES = 1 << 16
"""Bytes between two slices that are cheaper to read along than to ask again."""


Fetch = Callable[[int, int], bytes]
"""Gives a file's bytes from a start to before an end; fewer, or none, where the file ends."""


class Slice(NamedTuple):
    """A piece of a file: its first byte's offset, and how many bytes it has."""

    offset: int
    size: int


class Span(NamedTuple):
    """One range of a file: its bytes from the offset ``start`` on, and the slices in it."""

    start: int
    slices: list[Slice]
    data: bytes


def fetch_ahead(fetch: Fetch, groups: Iterable[list[Slice]]) -> Iterator[Span]:
    """Yield the range around each group of slices; the next one is being fetched meanwhile.

    Args:
        fetch: gives the bytes from a start to before an end.
        groups: slices that one request shall bring, as ``spans`` makes them.
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
    """A readable file whose content comes in pieces, one after the other."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the present piece goes; return how many bytes that were."""
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
    """Yield consecutive slices in groups that one request should bring.

    In a group offsets rise, gaps are below 64 KiB, and all is at most ``SPAN_BYTES`` long,
    but for a single slice that is longer.
    """
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
