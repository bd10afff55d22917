"""Reading shards by their index: where images lie, their bytes, and what stands beside them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ShardDamaged
from tasks.io.shards.shard import INDEX_SCHEMA, ORIGIN, SIDE_COLUMNS, Member, Side
from tasks.io.shards.sides import SideKind
from tasks.io.store import Slice, Store

_REMEDY = "run `dotpipe verify CONFIG`, then `dotpipe repair CONFIG`"


def read_index(store: Store, path: str) -> pa.Table:
    """Return the index of a shard; columns that an older version did not write are null.

    Raises:
        ArtifactDamaged: it is not there, or not whole.
    """
    table = read_table(store, path)
    for field in INDEX_SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def origin_of(index: pa.Table) -> str | None:
    """Return the foreign tar that a shard was made from, as its index tells; None if it was not."""
    known: bytes | None = (index.schema.metadata or {}).get(ORIGIN.encode())
    return None if known is None else known.decode()


def members_of(index: pa.Table, folder: str) -> list[Member]:
    """Return where the accepted images of an index lie, in its order; tars lie in ``folder``."""
    columns = [field.name for field in INDEX_SCHEMA if field.name in index.column_names]
    return [
        Member(
            tar=f"{folder}/{row['shard']}.tar",
            sides=_sides_in(row),
            **{name: row[name] for name in Member._fields if name in row},
        )
        for row in index.select(columns).to_pylist()
        if row["status"] == "ok"
    ]


def read_members(store: Store, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """Yield each image with its bytes, in the order given.

    Members of one tar that follow each other in it are read sequentially.

    Raises:
        ShardDamaged: a tar is not there, or does not hold what its index says.
    """
    for tar, group in groupby(members, key=lambda member: member.tar):
        owners = list(group)
        pieces = [Slice(member.offset, member.size) for member in owners]
        for member, data in zip(owners, _read(store, tar, pieces), strict=True):
            if hashlib.sha256(data).hexdigest() != member.sha256:
                raise ShardDamaged(
                    f"{tar} must hold the bytes of {member.key!r} that its index tells, but holds "
                    f"others; {_REMEDY}"
                )
            yield member, data


def read_sides(store: Store, members: Sequence[Member]) -> dict[str, dict[SideKind, bytes]]:
    """Return what stands beside images, by their keys and by kind; images without have no entry.

    Raises:
        ShardDamaged: a tar is not there, or shorter than its index says.
    """
    found = dict[str, dict[SideKind, bytes]]()
    known = [(member, side) for member in members for side in member.sides]
    for tar, group in groupby(known, key=lambda item: item[0].tar):
        owners = list(group)
        pieces = [Slice(side.offset, side.size) for _, side in owners]
        for (member, side), data in zip(owners, _read(store, tar, pieces), strict=True):
            found.setdefault(member.key, {})[side.kind] = data
    return found


def _sides_in(row: Mapping[str, Any]) -> tuple[Side, ...]:
    """Return where the sides of an image lie, as its row of an index tells."""
    places = ((kind, row.get(at), row.get(size)) for kind, (at, size) in SIDE_COLUMNS.items())
    return tuple(Side(kind, at, size or 0) for kind, at, size in places if at is not None)


def _read(store: Store, tar: str, pieces: Sequence[Slice]) -> Iterator[bytes]:
    """Yield pieces of a tar, which its index says it has.

    Raises:
        ShardDamaged: the tar is not there, or too short.
    """
    try:
        for piece, data in zip(pieces, store.read_slices(tar, pieces), strict=True):
            if len(data) != piece.size:
                raise ShardDamaged(
                    f"{tar} must hold {piece.size} bytes at {piece.offset}, got {len(data)}; "
                    f"{_REMEDY}"
                )
            yield data
    except FileNotFoundError as error:
        raise ShardDamaged(
            f"{tar} must be there, as the ledger says, but is not; run `dotpipe repair CONFIG`"
        ) from error
