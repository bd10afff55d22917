"""Reading shards by their index: where images lie, their bytes, and what stands beside them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, Protocol

import pyarrow as pa

from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ShardDamaged
from tasks.io.machine.threads import side_by_side
from tasks.io.shards.shard import IMAGES, INDEX_SCHEMA, ORIGIN, SIDE_COLUMNS, Member, Side
from tasks.io.shards.sides import SideKind
from tasks.io.store import Slice, Store, stem

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
    """Return the foreign tar that a shard was made from, as its index tells; None if it was not.

    Of a tar that was cut it is the name of the part, see ``part_name``.
    """
    known: bytes | None = (index.schema.metadata or {}).get(ORIGIN.encode())
    return None if known is None else known.decode()


def members_of(index: pa.Table, folder: str) -> list[Member]:
    """Return where the accepted images of an index lie, in its order.

    Args:
        index: of a shard.
        folder: in which it lies.
    """
    columns = [field.name for field in INDEX_SCHEMA if field.name in index.column_names]
    rows = index.select(columns).to_pylist()
    return [_member(row, folder) for row in rows if row["status"] == "ok"]


def _member(row: Mapping[str, Any], folder: str) -> Member:
    own = f"{folder}/{IMAGES}/{row['member']}"
    file = f"{folder}/{row['shard']}.tar" if row["offset"] else own
    known = {name: row[name] for name in Member._fields if name in row}
    return Member(**known, file=file, sides=_sides_in(row, file))


def _sides_in(row: Mapping[str, Any], file: str) -> tuple[Side, ...]:
    """Return where the sides of an image lie that lies in this file."""
    places = ((kind, row.get(at), row.get(size)) for kind, (at, size) in SIDE_COLUMNS.items())
    return tuple(
        Side(kind, file if at else f"{stem(file)}.{kind}", at, size or 0)
        for kind, at, size in places
        if at is not None
    )


def read_members(store: Store, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """Yield each image with its bytes, in the order given.

    Members of one tar that follow each other in it are read sequentially, files of their own
    side by side.

    Raises:
        ShardDamaged: a file is not there, or does not hold what its index says.
    """
    for member, data in zip(members, _read(store, members), strict=True):
        if hashlib.sha256(data).hexdigest() != member.sha256:
            raise ShardDamaged(
                f"{member.file} must hold the bytes of {member.key!r} that its index tells, but "
                f"holds others; {_REMEDY}"
            )
        yield member, data


def read_sides(store: Store, members: Sequence[Member]) -> dict[str, dict[SideKind, bytes]]:
    """Return what stands beside images, by their keys and by kind; images without have no entry.

    Raises:
        ShardDamaged: a file is not there, or shorter than its index says.
    """
    found = dict[str, dict[SideKind, bytes]]()
    known = [(member, side) for member in members for side in member.sides]
    for (member, side), data in zip(known, _read(store, [side for _, side in known]), strict=True):
        found.setdefault(member.key, {})[side.kind] = data
    return found


class _Piece(Protocol):
    """A part of a file, or all of it."""

    @property
    def file(self) -> str:
        """Path of the file."""

    @property
    def offset(self) -> int:
        """Of the first byte."""

    @property
    def size(self) -> int:
        """In bytes."""


def _read(store: Store, pieces: Iterable[_Piece]) -> Iterator[bytes]:
    """Yield pieces of files, which an index says they have.

    Raises:
        ShardDamaged: a file is not there, or too short.
    """
    for is_in_tar, group in groupby(pieces, key=lambda piece: piece.offset > 0):
        if is_in_tar:
            for tar, owners in groupby(group, key=lambda piece: piece.file):
                yield from _read_file(store, tar, list(owners))
        else:
            yield from chain.from_iterable(
                side_by_side(lambda own: [*_read_file(store, own.file, [own])], group)
            )


def _read_file(store: Store, file: str, pieces: Sequence[_Piece]) -> Iterator[bytes]:
    """Yield pieces of one file.

    Raises:
        ShardDamaged: it is not there, or too short.
    """
    slices = [Slice(piece.offset, piece.size) for piece in pieces]
    try:
        for piece, data in zip(slices, store.read_slices(file, slices), strict=True):
            if len(data) != piece.size:
                raise ShardDamaged(
                    f"{file} must hold {piece.size} bytes at {piece.offset}, got {len(data)}; "
                    f"{_REMEDY}"
                )
            yield data
    except FileNotFoundError as error:
        raise ShardDamaged(
            f"{file} must be there, as the ledger says, but is not; run `dotpipe repair CONFIG`"
        ) from error
