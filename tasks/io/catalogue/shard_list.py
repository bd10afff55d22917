"""The list of a data set's shards: in the footer of its index, and as a table beside it.

The list stands in the index so that both change together, as one file. The table beside it
says the same to readers that need no images.
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
"""Key of the list in the index's metadata."""

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
    """One shard of a data set."""

    shard: str
    """The shard's name."""
    group: int
    """Number of its row group in the index; without meaning if it has no rows."""
    rows: int
    """Images that were offered to it, refused ones included."""
    accepted: int
    """Images that it holds."""
    first: str | None
    """First key of the offered images but for refused names; None if there is none."""
    last: str | None
    """Last key of the same images."""
    tar: str | None
    """Path of the foreign tar that the shard was made from, or name of the part (``part_name``);
    None if it was not."""


def read_shards(store: Store, folder: str) -> list[ShardEntry]:
    """Return the shards of the data set in a folder, from the table beside its index.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    columns = read_table(store, f"{folder}/shards.parquet").select(ShardEntry._fields)
    return list(map(ShardEntry._make, zip(*columns.to_pydict().values(), strict=True)))


def shards_in(index: pq.ParquetFile) -> list[ShardEntry] | None:
    """Return the shards in an index's footer; None if an older version wrote it without them."""
    text = (index.metadata.metadata or {}).get(_FOOTER.encode())
    return None if text is None else [ShardEntry(*entry) for entry in json.loads(text)]


def write_catalogue(
    tables: Iterable[tuple[str, str | None, pa.Table]], index: Path, shards: Path
) -> list[ShardEntry]:
    """Write the index of a data set, one row group for each shard, and the list of its shards.

    Args:
        tables: name, foreign tar and rows of every shard, in the order of names; at least one.
        index: local file to write, the index.
        shards: local file to write, the table of shards.

    Returns:
        The list of shards.

    Raises:
        ValueError: a shard comes twice.
    """
    entries, writer, group = list[ShardEntry](), None, 0
    for shard, tar, table in tables:
        writer = writer or parquet.writer(index, table.schema.remove_metadata())
        if entries and entries[-1].shard == shard:
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
    """Return the entry of a shard that has these rows in the index."""
    rows: list[dict[str, Any]] = table.select(["key", "status", "reason"]).to_pylist()
    keys = [row["key"] for row in rows if not is_odd(row)]
    accepted = sum(row["status"] == "ok" for row in rows)
    first, last = (keys[0], keys[-1]) if keys else (None, None)
    return ShardEntry(shard, group, len(rows), accepted, first, last, tar)
