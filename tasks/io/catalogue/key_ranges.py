"""Ranges of keys: which shards' ranges follow each other, and which overlap.

The keys of one shard are in order, and its range goes from its first key to its last. Ranges
of different shards may overlap, as images that came later lie between those that were there.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from tasks.io.catalogue.shard_list import ShardEntry


class KeyRange(NamedTuple):
    """A shard with at least one key, and its first and last key."""

    first: str
    last: str
    entry: ShardEntry


Chain = list[KeyRange]
"""Shards that follow each other: each one's first key comes after the last of the one before."""


class _ChainEnd(NamedTuple):
    """The last key of a chain, and which of the chains it is."""

    last: str
    number: int


def ranges_of(shards: Iterable[ShardEntry]) -> list[KeyRange]:
    """Return the ranges of shards in the order of their first keys, then of their names.

    Shards that were offered no image, or only images whose names were refused, have no keys
    and are left out.
    """
    ranges = [
        KeyRange(entry.first, entry.last, entry)
        for entry in shards
        if entry.first is not None and entry.last is not None
    ]
    return sorted(ranges, key=lambda found: (found.first, found.entry.shard))


def chains_of(ranges: Iterable[KeyRange]) -> list[Chain]:
    """Divide ranges into as few chains as there can be.

    Each range continues the chain that ends closest before it. Where none ends before its first
    key, it begins another chain: two shards that share a key are in different ones.

    Args:
        ranges: in the order of their first keys.
    """
    chains: list[Chain] = []
    ends: list[_ChainEnd] = []  # one for each chain, in the order of last keys
    for found in ranges:
        ended_before = bisect_left(ends, found.first, key=attrgetter("last"))
        if ended_before:
            number = ends.pop(ended_before - 1).number
        else:
            number = len(chains)
            chains.append([])
        chains[number].append(found)
        insort(ends, _ChainEnd(found.last, number))
    return chains


def overlapping(chain: Chain, first: str, last: str) -> Iterator[ShardEntry]:
    """Yield the shards of a chain whose range has a key between two keys, both included."""
    start = bisect_left(chain, first, key=attrgetter("last"))
    for number in range(start, len(chain)):
        if chain[number].first > last:
            return
        yield chain[number].entry


def meeting(ranges: Iterable[KeyRange], others: Iterable[KeyRange]) -> list[ShardEntry]:
    """Return the shards whose range overlaps one of the others, in the order of ranges.

    Args:
        ranges: in any order.
        others: in the order of their first keys.
    """
    united = _united(others)
    starts, ends = [first for first, _ in united], [last for _, last in united]
    found = []
    for first, last, entry in ranges:
        candidate = bisect_left(ends, first)  # the first one that does not end before
        if candidate < len(united) and starts[candidate] <= last:
            found.append(entry)
    return found


def _united(ranges: Iterable[KeyRange]) -> Sequence[tuple[str, str]]:
    """Return first and last keys that cover the same keys as ranges do, without overlap.

    Args:
        ranges: in the order of their first keys.
    """
    united = list[tuple[str, str]]()
    for first, last, _ in ranges:
        if united and first <= united[-1][1]:
            start, end = united.pop()
            united.append((start, max(end, last)))
        else:
            united.append((first, last))
    return united
