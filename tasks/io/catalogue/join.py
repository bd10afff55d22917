"""Rows of one catalogue by the keys of another, whatever shards these lie in."""

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
    """The row, as JSON, of a key that a shard asks for."""

    shard: str
    key: str
    row: str


def counterparts(ours: Catalogue, theirs: Catalogue) -> Iterator[tuple[ShardEntry, pa.Table]]:
    """Each shard of ours, in no order, and the rows of theirs with its accepted keys.

    Rows are in the order of keys. A shard that has its counterparts in the one of the
    same name costs one row group. For all others together, each shard of theirs whose
    keys lie among them is read once, however the keys are spread.
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
    """The same, by reading both in the order of keys and sorting what they share by shard."""
    waiting = {entry.shard: entry for entry in ours.shards}
    found = in_order(_shared(ours, theirs.near(ours)))
    for shard, group in groupby(found, key=lambda found: found.shard):
        rows = [json.loads(one.row) for one in group]
        yield waiting.pop(shard), pa.Table.from_pylist(rows, theirs.schema)
    for entry in waiting.values():
        yield entry, theirs.schema.empty_table()


def _shared(ours: Catalogue, theirs: Catalogue) -> Iterator[_Found]:
    """The keys that both have, with the shard of ours and the row of theirs, in order."""
    places = ours.keys()
    place = next(places, None)
    for key, row in theirs.rows():
        while place is not None and place.key < key:
            place = next(places, None)
        if place is None:
            return
        if place.key == key:
            yield _Found(place.shard, key, row)
