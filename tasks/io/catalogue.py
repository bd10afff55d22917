"""The catalogue of a data set: its shards, and its images in the order of their keys.

Every shard is in the order of its keys, but shards that came later lie between those
that were there before. Shards that follow each other make a run; there is one for every
time that images were added, or for every foreign tar if their keys are in no order.
Reading in the order of keys merges the runs, with a shard of a few of them in memory.
"""

import bisect
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.merging import merged
from tasks.io.shard_list import ShardEntry, is_odd, shards_in
from tasks.io.store import Store

_ROWS_AT_ONCE = 4096
"""Rows of small shards that are read together."""


class Place(NamedTuple):
    """An image by its key, and the shard it lies in."""

    key: str
    shard: str


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

    def __init__(self, index: pq.ParquetFile, shards: Sequence[ShardEntry]) -> None:
        self._index = index
        self.shards = tuple(shards)

    @classmethod
    def of(cls, store: Store, folder: str) -> "Catalogue":
        """The catalogue of the data set in a folder; one in a bucket is read by way of a copy.

        Raises:
            StepMissing: the data set has not been sharded, or by an older version.
            ArtifactDamaged: its index is not whole.
        """
        path = f"{folder}/index.parquet"
        try:
            with store.fetched(path) as copy:  # open files outlive their names
                index = pq.ParquetFile(copy, pre_buffer=False)
        except FileNotFoundError as error:
            raise StepMissing(
                f"{path} must be there, but is not; run `dotpipe shard CONFIG` first"
            ) from error
        except pa.ArrowInvalid as error:
            raise ArtifactDamaged(
                f"{path} must be a whole Parquet file: {error}; run `dotpipe repair CONFIG`"
            ) from error
        shards = shards_in(index)
        if shards is None:
            raise StepMissing(
                f"{path} must list its shards, but an older version wrote it; run `dotpipe shard "
                "CONFIG` first"
            )
        return cls(index, shards)

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
        table = self._index.read_row_group(entry.group, names, use_threads=False)
        return table.replace_schema_metadata(None)

    def lookup(self, keys: Sequence[str], likely: str | None = None) -> pa.Table:
        """The accepted rows with some keys, in the order of keys.

        Args:
            keys: in order, each once.
            likely: name of the shard that may have them all, to be asked first.
        """
        found, missing = [self.schema.empty_table()], len(keys)
        wanted = pa.array(keys, pa.string())
        around = list(self._around(keys[0], keys[-1])) if keys else []
        for entry in sorted(around, key=lambda entry: entry.shard != likely):
            if not missing:
                break
            table = self.table(entry)
            hit = pc.and_(pc.is_in(table["key"], wanted), pc.equal(table["status"], "ok"))
            found.append(table.filter(hit))
            missing -= found[-1].num_rows
        return pa.concat_tables(found).combine_chunks().sort_by("key")

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
        for entry in sorted((e for e in self.shards if e.first is not None), key=_first_key):
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
            table = self.table(entry, ("key", "status"))
            accepted = table.filter(pc.equal(table["status"], "ok"))["key"]
            yield from (Place(key, entry.shard) for key in accepted.to_pylist())

    def _offered_by(self, run: _Run) -> Iterator[Known]:
        for group in _gathered(run.entries):
            columns = ["shard", "key", "source", "reason"]
            numbers = [entry.group for entry in group]
            table = self._index.read_row_groups(numbers, columns, use_threads=False)
            for row in table.to_pylist():
                if not is_odd(row):
                    yield Known(row["key"], row["source"], row["shard"])

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


def _first_key(entry: ShardEntry) -> tuple[str, str]:
    return str(entry.first), entry.shard
