"""A join of two catalogues: the rows of one for the keys of another, whatever their shards."""

import json
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.catalogue.catalogue import Catalogue
from tasks.io.catalogue.external_sort import in_order
from tasks.io.catalogue.shard_list import ShardEntry


class _Found(NamedTuple):
    """A key of a shard of ours, and the row, as JSON, that theirs has for it."""

    shard: str
    key: str
    row: str


def counterparts(ours: Catalogue, theirs: Catalogue) -> Iterator[tuple[ShardEntry, pa.Table]]:
    """Yield each shard of ours, in no order, with the rows of theirs for its accepted keys.

    Rows are in the order of keys; a key that theirs lacks has none. Where a shard of theirs
    has the same name and holds all keys of ours, only that one is read. For the other shards
    of ours together, each shard of theirs whose range of keys overlaps that of one
    is read once, however the keys are spread.
    """
    same, rest = {entry.shard: entry for entry in theirs.shards}, list[ShardEntry]()
    for entry in ours.shards:
        other = same.get(entry.shard)
        if other is None or other.accepted < entry.accepted:
            rest.append(entry)
            continue
        keys = ours.accepted(entry, ("key",))["key"]
        table = theirs.accepted(other)
        table = table.filter(pc.is_in(table["key"], keys.combine_chunks()))
        if table.num_rows == entry.accepted:
            yield entry, table.combine_chunks()
        else:
            rest.append(entry)
    yield from _spread(ours.only(rest), theirs)


def _spread(ours: Catalogue, theirs: Catalogue) -> Iterator[tuple[ShardEntry, pa.Table]]:
    """Do what ``counterparts`` does for shards whose keys are spread over shards of theirs.

    Both catalogues are read in the order of keys, and what they share is sorted by shard.
    """
    waiting = {entry.shard: entry for entry in ours.shards}
    found = in_order(_shared(ours, theirs.near(ours)))
    for shard, group in groupby(found, key=lambda found: found.shard):
        rows = [json.loads(one.row) for one in group]
        yield waiting.pop(shard), pa.Table.from_pylist(rows, theirs.schema)
    for entry in waiting.values():
        yield entry, theirs.schema.empty_table()


def _shared(ours: Catalogue, theirs: Catalogue) -> Iterator[_Found]:
    """Yield the keys that both have, in order, with the shard of ours and the row of theirs."""
    places = ours.keys()
    place = next(places, None)
    for key, row in theirs.rows():
        while place is not None and place.key < key:
            place = next(places, None)
        if place is None:
            return
        if place.key == key:
            yield _Found(place.shard, key, row)
