"""The shards of a data set as a list: written into its index, and as a table beside it.

The index is one file so that it changes as a whole: what it says of its shards stands in
its footer. The table beside it says the same to those who need no images.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.io.artifacts import parquet
from tasks.io.artifacts.parquet import read_table
from tasks.io.shards.keys import is_odd
from tasks.io.store import Store

_FOOTER = "shards"

_SHARDS_SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("group", pa.int32()),
        ("rows", pa.int64()),
        ("accepted", pa.int64()),
        ("first", pa.string()),
        ("last", pa.string()),
        ("tar", pa.string()),
    ]
)


class ShardEntry(NamedTuple):
    """A shard: its row group in the index, how many images it has, and its keys' range.

    ``tar`` is the foreign tar that it was made from, if it was.
    """

    shard: str
    group: int
    rows: int
    accepted: int
    first: str | None
    last: str | None
    tar: str | None


def read_shards(store: Store, folder: str) -> list[ShardEntry]:
    """The shards of the data set in a folder.

    Raises:
        ArtifactDamaged: their table is not there, or not whole.
    """
    columns = read_table(store, f"{folder}/shards.parquet").select(ShardEntry._fields)
    return list(map(ShardEntry._make, zip(*columns.to_pydict().values(), strict=True)))


def shards_in(index: pq.ParquetFile) -> list[ShardEntry] | None:
    """The shards that an index says it has; None if it is of a version that did not say."""
    text = (index.metadata.metadata or {}).get(_FOOTER.encode())
    return None if text is None else [ShardEntry(*entry) for entry in json.loads(text)]


def write_catalogue(
    tables: Iterable[tuple[str, str | None, pa.Table]], index: Path, shards: Path
) -> list[ShardEntry]:
    """Write the index of a data set, a row group a shard, and the list of its shards.

    Args:
        tables: name, foreign tar and rows of every shard, in the order of names; at least one.
        index: local file to write.
        shards: local file to write.
    """
    entries, writer, group = list[ShardEntry](), None, 0
    for shard, tar, table in tables:
        writer = writer or parquet.writer(index, table.schema.remove_metadata())
        if any(entry.shard == shard for entry in entries[-1:]):
            raise ValueError(f"a shard must be in a catalogue once, got {shard} twice")
        entries.append(_entry_of(table, shard, group, tar))
        if table.num_rows:
            writer.write_table(table, row_group_size=table.num_rows)
            group += 1
    if writer is not None:
        writer.add_key_value_metadata({_FOOTER: json.dumps(entries)})
        writer.close()
    rows = [entry._asdict() for entry in entries]
    parquet.write_table(pa.Table.from_pylist(rows, _SHARDS_SCHEMA), shards)
    return entries


def _entry_of(table: pa.Table, shard: str, group: int, tar: str | None) -> ShardEntry:
    """What is said of a shard with these rows of the index."""
    rows: list[dict[str, Any]] = table.select(["key", "status", "reason"]).to_pylist()
    keys = [row["key"] for row in rows if not is_odd(row)]
    accepted = sum(row["status"] == "ok" for row in rows)
    first, last = (keys[0], keys[-1]) if keys else (None, None)
    return ShardEntry(shard, group, len(rows), accepted, first, last, tar)
