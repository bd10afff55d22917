"""The catalogue of a data set: its shards, and its images in the order of their keys.

Every shard is in the order of its keys, but shards that came later lie between those
that were there before. Shards that follow each other make a run; there is one for every
time that images were added, or for every foreign tar if their keys are in no order.
Reading in the order of keys merges the runs, with a shard of a few of them in memory.
"""

import bisect
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.io.artifacts.parquet import opened, present, whole
from tasks.io.catalogue.external_sort import merged
from tasks.io.catalogue.shard_list import ShardEntry, shards_in
from tasks.io.errors import StepMissing
from tasks.io.shards.keys import is_odd
from tasks.io.store import Store
from tasks.io.store.cache import at_hand

_ROWS_AT_ONCE = 4096
"""Rows of small shards that are read together."""

_TEXTS_AT_ONCE = 256
"""Rows of one shard that are written as JSON together."""


class Place(NamedTuple):
    """An image by its key, and the shard it lies in."""

    key: str
    shard: str


class Row(NamedTuple):
    """An image by its key, and all that the index says of it, as JSON."""

    key: str
    text: str


class Known(NamedTuple):
    """A file that was offered before: its key, its path in the corpus, and its shard."""

    key: str
    source: str
    shard: str


class _Run(NamedTuple):
    """Shards that follow each other, and the last key of each."""

    entries: list[ShardEntry]
    lasts: list[str]


class Catalogue:
    """What the index of a data set holds; read shard by shard."""

    def __init__(
        self, index: pq.ParquetFile, shards: Sequence[ShardEntry], path: str = "the index"
    ) -> None:
        self._index, self._path = index, path
        self.shards = tuple(shards)

    @classmethod
    def of(cls, store: Store, folder: str) -> "Catalogue":
        """The catalogue of the data set in a folder; one in a bucket is read from a copy.

        Raises:
            StepMissing: the data set was sharded by an older version.
            ArtifactDamaged: its index is not there, or not whole.
        """
        path = f"{folder}/index.parquet"
        with present(path):
            copy = at_hand(store, path)
            with whole(path):
                index = opened(copy)
        shards = shards_in(index)
        if shards is None:
            raise StepMissing(
                f"{path} must list its shards, but an older version wrote it; run `dotpipe shard "
                "CONFIG` first"
            )
        return cls(index, shards, path)

    @property
    def schema(self) -> pa.Schema:
        """Of the index's rows."""
        return self._index.schema_arrow.remove_metadata()

    def keys(self) -> Iterator[Place]:
        """Every accepted image in the order of keys."""
        return merged(self._keys_of(run) for run in self._runs)

    def offered(self) -> Iterator[Known]:
        """Every file that was offered, accepted or not, by key and path; odd names left out."""
        return merged(self._offered_by(run) for run in self._runs)

    def odd(self) -> Iterator[tuple[str, str]]:
        """The escaped paths of files whose names were refused, and their shards."""
        for entry in self.shards:
            if entry.rows > entry.accepted:
                for row in self._rows(entry, ("source", "reason")):
                    if is_odd(row):
                        yield row["source"], entry.shard

    def table(self, entry: ShardEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one shard."""
        names = self.schema.names if columns is None else list(columns)
        if not entry.rows:
            return self.schema.empty_table().select(names)
        return self._read([entry.group], names).replace_schema_metadata(None)

    def accepted(self, entry: ShardEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of one shard's accepted images, in the order of keys."""
        names = self.schema.names if columns is None else list(columns)
        table = self.table(entry, [*names, *{"status"}.difference(names)])
        return table.filter(pc.equal(table["status"], "ok")).select(names)

    def rows(self) -> Iterator[Row]:
        """The whole row of every accepted image, in the order of keys."""
        return merged(self._rows_of(run) for run in self._runs)

    def only(self, shards: Sequence[ShardEntry]) -> "Catalogue":
        """The catalogue of some of the shards."""
        return Catalogue(self._index, shards, self._path)

    def near(self, other: "Catalogue") -> "Catalogue":
        """The catalogue of those shards that may have a key of another one's."""
        starts, ends = list[str](), list[str]()  # of the other's ranges, put together
        for entry in _with_keys(other.shards):
            if ends and str(entry.first) <= ends[-1]:
                ends[-1] = max(ends[-1], str(entry.last))
            else:
                starts.append(str(entry.first))
                ends.append(str(entry.last))
        places = [(bisect.bisect_left(ends, str(e.first)), e) for e in _with_keys(self.shards)]
        found = [e for at, e in places if at < len(ends) and starts[at] <= str(e.last)]
        return self.only(found)

    def holding(self, key: str) -> list[ShardEntry]:
        """The shards that were offered an image of this key, accepted or not."""
        return [
            entry
            for entry in self._around(key, key)
            if pc.any(pc.equal(self.table(entry, ("key",))["key"], key)).as_py()
        ]

    @cached_property
    def _runs(self) -> list[_Run]:
        """The shards with keys, in as few sequences as follow the order of keys.

        Keys of one sequence rise: shards that share one are in two.
        """
        runs: list[_Run] = []
        ends: list[tuple[str, int]] = []  # last key and number of each run, in order
        for entry in _with_keys(self.shards):
            place = bisect.bisect_left(ends, (str(entry.first), -1)) - 1
            number = ends.pop(place)[1] if place >= 0 else len(runs)
            if number == len(runs):
                runs.append(_Run([], []))
            runs[number].entries.append(entry)
            runs[number].lasts.append(str(entry.last))
            bisect.insort(ends, (str(entry.last), number))
        return runs

    def _around(self, first: str, last: str) -> Iterator[ShardEntry]:
        """The shards whose range meets another one."""
        for entries, lasts in self._runs:
            for place in range(bisect.bisect_left(lasts, first), len(entries)):
                if str(entries[place].first) > last:
                    break
                yield entries[place]

    def _keys_of(self, run: _Run) -> Iterator[Place]:
        for entry in run.entries:
            accepted = self.accepted(entry, ("key",))["key"]
            yield from (Place(key, entry.shard) for key in accepted.to_pylist())

    def _rows_of(self, run: _Run) -> Iterator[Row]:
        for entry in run.entries:
            for batch in self.accepted(entry).to_batches(_TEXTS_AT_ONCE):
                yield from (Row(row["key"], json.dumps(row)) for row in batch.to_pylist())

    def _offered_by(self, run: _Run) -> Iterator[Known]:
        for group in _gathered(run.entries):
            columns = ["shard", "key", "source", "reason"]
            numbers = [entry.group for entry in group]
            for row in self._read(numbers, columns).to_pylist():
                if not is_odd(row):
                    yield Known(row["key"], row["source"], row["shard"])

    def _read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        with whole(self._path):
            return self._index.read_row_groups(list(groups), list(columns), use_threads=False)

    def _rows(self, entry: ShardEntry, columns: Sequence[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.table(entry, columns).to_pylist()
        return rows


def _gathered(entries: Sequence[ShardEntry]) -> Iterator[list[ShardEntry]]:
    """Consecutive shards that have a few thousand rows together, or a large one."""
    group, rows = list[ShardEntry](), 0
    for entry in entries:
        if group and rows + entry.rows > _ROWS_AT_ONCE:
            yield group
            group, rows = [], 0
        group.append(entry)
        rows += entry.rows
    if group:
        yield group


def _with_keys(shards: Sequence[ShardEntry]) -> list[ShardEntry]:
    """The shards that were offered anything but odd names, by their first keys."""
    found = (entry for entry in shards if entry.first is not None)
    return sorted(found, key=lambda entry: (str(entry.first), entry.shard))
