"""External sorting: any number of tuples of strings in order, with few of them in memory."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from tasks.io.store import temporary_room

WIDTH = 64
"""Sorted streams that are merged at once; of more, groups are merged into files first."""

ROWS = 1 << 16
"""Tuples that are sorted in memory; of more, sorted pieces wait on this machine's disk."""

_BATCH = 1024
"""Tuples that are written to a file together."""

T = TypeVar("T", bound=tuple[str, ...])


def merged(streams: Iterable[Iterator[T]], width: int = WIDTH) -> Iterator[T]:
    """Yield the tuples of sorted streams in order.

    In memory is what ``width`` streams hold, whatever their number: where there are more,
    the rest waits on this machine's disk. No stream is begun before its turn.
    """
    level = list(streams)
    if len(level) <= width:
        yield from heapq.merge(*level)
        return
    with temporary_room(), tempfile.TemporaryDirectory() as folder:
        number = 0
        while len(level) > width:
            waiting, level = iter(level), []
            while group := list(islice(waiting, width)):
                path = Path(folder) / str(number)
                level.append(_spilled(heapq.merge(*group), path))
                number += 1
        yield from heapq.merge(*level)


def in_order(rows: Iterator[T], most: int = ROWS) -> Iterator[T]:
    """Yield tuples that come in any order in their order, with at most ``most`` in memory."""
    with temporary_room(), tempfile.TemporaryDirectory() as folder:
        batches = iter(lambda: sorted(islice(rows, most)), [])
        pieces = [
            _spilled(iter(batch), Path(folder) / str(number))
            for number, batch in enumerate(batches)
        ]
        yield from merged(pieces)


def _spilled(rows: Iterator[T], path: Path) -> Iterator[T]:
    """Write tuples to a file, and return an iterator that reads them from there."""
    first = next(rows, None)
    if first is None:
        return iter(())
    names = [str(column) for column in range(len(first))]
    schema = pa.schema([(name, pa.string()) for name in names])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        batch = [first, *islice(rows, _BATCH - 1)]
        while batch:
            columns = [pa.array(column, pa.string()) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema))
            batch = list(islice(rows, _BATCH))
    return _read(path, type(first))


def _read(path: Path, kind: type[T]) -> Iterator[T]:
    make = getattr(kind, "_make", kind)
    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            columns = [column.to_pylist() for column in batch.columns]
            yield from map(make, zip(*columns, strict=True))
