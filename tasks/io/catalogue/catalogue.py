"""The catalogue of a data set: its shards, and its images in the order of their keys.

The images of one shard are in the order of their keys, but keys of shards that came later lie
between those of shards that were there before. Shards that follow each other make a chain:
about one for every time that images were added, or for every foreign tar if the keys of tars
are in no order. Reading a data set in the order of keys merges its chains, and holds one shard
of each of a few chains in memory.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.io.artifacts.parquet import opened, present, whole
from tasks.io.catalogue.external_sort import merged
from tasks.io.catalogue.key_ranges import Chain, chains_of, meeting, overlapping, ranges_of
from tasks.io.catalogue.shard_list import ShardEntry, shards_in
from tasks.io.errors import StepMissing
from tasks.io.shards.keys import is_odd
from tasks.io.store import Store
from tasks.io.store.cache import at_hand

_ROWS_AT_ONCE = 4096
"""Rows of consecutive small shards that are read together, at most."""

_TEXTS_AT_ONCE = 256
"""Rows of one shard that become JSON together."""


class Place(NamedTuple):
    """The key of an image, and the name of the shard that it lies in."""

    key: str
    shard: str


class Row(NamedTuple):
    """The key of an image, and its row in the index as JSON."""

    key: str
    text: str


class Known(NamedTuple):
    """A file that was offered as an image: its key, its path in the corpus, and its shard."""

    key: str
    source: str
    shard: str


class Catalogue:
    """What the index of a data set holds; its rows are read when they are asked for.

    Args:
        index: the opened index, with one row group for each shard that has rows.
        shards: those of its shards that the catalogue is of.
        path: of the index, for errors.
    """

    def __init__(
        self, index: pq.ParquetFile, shards: Sequence[ShardEntry], path: str = "the index"
    ) -> None:
        self._index, self._path = index, path
        self.shards = tuple(shards)

    @classmethod
    def of(cls, store: Store, folder: str) -> "Catalogue":
        """Open the catalogue of the data set in a folder; an index in a bucket is copied first.

        Raises:
            StepMissing: the data set was sharded by an older version.
            ArtifactDamaged: the index is not there, or not whole.
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
        """The columns of the index's rows."""
        return self._index.schema_arrow.remove_metadata()

    def keys(self) -> Iterator[Place]:
        """Yield every accepted image, in the order of keys."""
        return merged(self._keys_of(chain) for chain in self._chains)

    def offered(self) -> Iterator[Known]:
        """Yield every file that was offered, in the order of keys and paths.

        Refused ones are among them, but not those that were refused for their names.
        """
        return merged(self._offered_by(chain) for chain in self._chains)

    def odd(self) -> Iterator[tuple[str, str]]:
        """Yield the escaped path and the shard of every file that was refused for its name."""
        for entry in self.shards:
            if entry.rows > entry.accepted:
                for row in self.table(entry, ("source", "reason")).to_pylist():
                    if is_odd(row):
                        yield row["source"], entry.shard

    def table(self, entry: ShardEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows of one shard, accepted and refused, with all columns or some."""
        names = self.schema.names if columns is None else list(columns)
        if not entry.rows:
            return self.schema.empty_table().select(names)
        return self._read([entry.group], names).replace_schema_metadata(None)

    def accepted(self, entry: ShardEntry, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of one shard's accepted images, in the order of keys."""
        names = self.schema.names if columns is None else list(columns)
        table = self.table(entry, [*names, *{"status"}.difference(names)])
        return table.filter(pc.equal(table["status"], "ok")).select(names)

    def rows(self) -> Iterator[Row]:
        """Yield the whole row of every accepted image, in the order of keys."""
        return merged(self._rows_of(chain) for chain in self._chains)

    def only(self, shards: Sequence[ShardEntry]) -> "Catalogue":
        """Return the catalogue of some of the shards."""
        return Catalogue(self._index, shards, self._path)

    def near(self, other: "Catalogue") -> "Catalogue":
        """Return the catalogue of those shards whose range of keys overlaps one of another's."""
        return self.only(meeting(ranges_of(self.shards), ranges_of(other.shards)))

    def holding(self, key: str) -> list[ShardEntry]:
        """Return the shards that were offered an image of this key, accepted or not.

        Only those whose range the key falls into are read.
        """
        return [
            entry
            for chain in self._chains
            for entry in overlapping(chain, key, key)
            if pc.any(pc.equal(self.table(entry, ("key",))["key"], key)).as_py()
        ]

    @cached_property
    def _chains(self) -> list[Chain]:
        return chains_of(ranges_of(self.shards))

    def _keys_of(self, chain: Chain) -> Iterator[Place]:
        for _, _, entry in chain:
            accepted = self.accepted(entry, ("key",))["key"]
            yield from (Place(key, entry.shard) for key in accepted.to_pylist())

    def _rows_of(self, chain: Chain) -> Iterator[Row]:
        for _, _, entry in chain:
            for batch in self.accepted(entry).to_batches(_TEXTS_AT_ONCE):
                yield from (Row(row["key"], json.dumps(row)) for row in batch.to_pylist())

    def _offered_by(self, chain: Chain) -> Iterator[Known]:
        columns = ("shard", "key", "source", "reason")
        for shards in _batched(entry for _, _, entry in chain):
            groups = [entry.group for entry in shards]
            for row in self._read(groups, columns).to_pylist():
                if not is_odd(row):
                    yield Known(row["key"], row["source"], row["shard"])

    def _read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        with whole(self._path):
            return self._index.read_row_groups(list(groups), list(columns), use_threads=False)


def _batched(entries: Iterable[ShardEntry]) -> Iterator[list[ShardEntry]]:
    """Yield consecutive shards in batches of ``_ROWS_AT_ONCE`` rows at most.

    A shard with more rows is a batch by itself.
    """
    batch, rows = list[ShardEntry](), 0
    for entry in entries:
        if batch and rows + entry.rows > _ROWS_AT_ONCE:
            yield batch
            batch, rows = [], 0
        batch.append(entry)
        rows += entry.rows
    if batch:
        yield batch
