"""Shards: WebDataset tars with an index of their members, and reading by that index.

A shard is ``shard-000000.tar`` beside ``shard-000000.parquet`` and ``shard-000000.idx``,
DALI's index. The tar is plain USTAR (a PAX header only for names that are long or not
ASCII) with times and owners of zero, so equal content gives equal bytes; what is known
of an image, as JSON, stands right after it. The index has a row for every image that
was offered, refused ones with their reason included.
"""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from tasks.io.artifacts.parquet import opened, present, whole, write_table
from tasks.io.errors import ShardDamaged
from tasks.io.shards.dali import write_dali_index
from tasks.io.shards.keys import SIDE_EXTENSION
from tasks.io.shards.tar_writer import TarWriter
from tasks.io.store import Slice, Store

SHARD_ENDINGS = ("tar", "parquet", "idx")
"""The files of a shard."""

_BUFFER_BYTES = 1 << 20
"""Of a tar that is written: few calls of the system, at which threads would change places."""

_ORIGIN = "tar"
_REMEDY = "run `dotpipe verify CONFIG`, then `dotpipe repair CONFIG`"


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


INDEX_SCHEMA = pa.schema(
    [
        _column("key", pa.string(), "path in the corpus, without extension"),
        _column("shard", pa.string(), "name of the shard"),
        _column("member", pa.string(), "name in the tar; null if refused"),
        _column("offset", pa.int64(), "first byte of the image in the tar; null if refused"),
        _column("size", pa.int64(), "bytes of the image; null if refused"),
        _column("width", pa.int32(), "pixels, EXIF orientation applied; null if refused"),
        _column("height", pa.int32(), "pixels, EXIF orientation applied; null if refused"),
        _column("sha256", pa.string(), "digest of the image's bytes; null if refused"),
        _column("status", pa.string(), "ok or refused"),
        _column("reason", pa.string(), "why it was refused, or came without its JSON; else null"),
        _column("source", pa.string(), "path in the corpus"),
        _column("side_offset", pa.int64(), "first byte of its JSON in the tar; null without"),
        _column("side_size", pa.int64(), "bytes of its JSON; null without"),
    ]
)


class Member(NamedTuple):
    """Where one image lies."""

    key: str
    tar: str
    offset: int
    size: int
    sha256: str
    width: int
    height: int
    side_offset: int | None = None
    side_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An image on its way into a shard; ``side`` is what is known of it, as JSON.

    ``reason`` says why there is no ``side`` where the source had one.
    """

    key: str
    source: str
    data: bytes
    sha256: str
    extension: str
    width: int
    height: int
    side: bytes | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An image that stays out, and why."""

    key: str
    source: str
    reason: str


def shard_name(number: int) -> str:
    """The name of a shard: shard-000000 and so on."""
    return f"shard-{number:06d}"


def member_name(key: str, extension: str) -> str:
    """A tar member whose WebDataset key, up to the first dot, is the whole key.

    Dots in the last part of the key are percent-encoded, as WebDataset would cut the
    key there; percent signs too, so the key can be read back.
    """
    folder, slash, base = key.rpartition("/")
    base = base.replace("%", "%25").replace(".", "%2E")
    return f"{folder}{slash}{base}.{extension}"


class ShardWriter:
    """Appends images to a shard's tar, and keeps the rows of its index.

    Args:
        name: of the shard.
        stream: takes the tar.
        origin: the foreign tar that all images come from, if they do.
    """

    def __init__(self, name: str, stream: BinaryIO, origin: str | None = None) -> None:
        self._name, self._tar, self._origin = name, TarWriter(stream), origin
        self._rows: list[dict[str, Any]] = []
        self._content = hashlib.sha256()

    def add(self, image: Accepted | Refused) -> None:
        """Append an image with what is known of it, or the row of a refused one."""
        row: dict[str, Any] = {"shard": self._name, "key": image.key, "source": image.source}
        content = [image.key, None, image.reason]
        if isinstance(image, Refused):
            row |= {"status": "refused", "reason": image.reason}
        else:
            row |= {"status": "ok", "reason": image.reason, **self._append(image)}
            content[1] = image.sha256
            content += [] if image.side is None else [hashlib.sha256(image.side).hexdigest()]
        self._rows.append(row)
        self._content.update(repr(tuple(content)).encode())

    def _append(self, image: Accepted) -> dict[str, Any]:
        member = member_name(image.key, image.extension)
        row = {
            "member": member,
            "offset": self._tar.add(member, image.data),
            "size": len(image.data),
            "width": image.width,
            "height": image.height,
            "sha256": image.sha256,
        }
        if image.side is not None:
            name = member_name(image.key, SIDE_EXTENSION)
            row |= {"side_offset": self._tar.add(name, image.side), "side_size": len(image.side)}
        return row

    def close(self, index: Path, dali: Path) -> tuple[pa.Table, str]:
        """Write the end of the tar and both indexes; the index and the content's digest."""
        self._tar.close()
        known = None if self._origin is None else {_ORIGIN: self._origin}
        table = pa.Table.from_pylist(self._rows, INDEX_SCHEMA.with_metadata(known))
        write_table(table, index)
        write_dali_index(table, dali)
        return table, self._content.hexdigest()[:32]


def write_shard(
    name: str,
    images: Iterator[Accepted | Refused],
    tar: Path,
    index: Path,
    dali: Path,
    *,
    origin: str | None = None,
) -> tuple[pa.Table, str]:
    """Write a tar and its indexes; returns the index and the digest of the content.

    Args:
        name: of the shard.
        images: in the order of their keys.
        tar: local file to write.
        index: local file to write, Parquet.
        dali: local file to write, text.
        origin: the foreign tar that all images come from, if they do.
    """
    with tar.open("wb", _BUFFER_BYTES) as stream:
        writer = ShardWriter(name, stream, origin)
        for image in images:
            writer.add(image)
        return writer.close(index, dali)


def read_table(store: Store, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file of the store.

    In this thread alone: one of Arrow's that lets go of the bytes, which are Python's,
    while the interpreter ends, aborts the process.

    Raises:
        ArtifactDamaged: it is not there, or not whole.
    """
    with present(path):
        data = store.read(path)
    with whole(path), opened(io.BytesIO(data)) as table:
        return table.read(columns=columns, use_threads=False)


def read_index(store: Store, path: str) -> pa.Table:
    """The index of a shard; columns that an older version did not write are null."""
    table = read_table(store, path)
    for field in INDEX_SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table


def origin_of(index: pa.Table) -> str | None:
    """The foreign tar that a shard was made from, if it was; as its index tells."""
    known: bytes | None = (index.schema.metadata or {}).get(_ORIGIN.encode())
    return None if known is None else known.decode()


def members_of(index: pa.Table, folder: str) -> list[Member]:
    """The accepted images of an index, in its order; tars lie in ``folder``."""
    columns = [field.name for field in INDEX_SCHEMA if field.name in index.column_names]
    return [
        Member(
            tar=f"{folder}/{row['shard']}.tar",
            **{name: row[name] for name in Member._fields if name in row},
        )
        for row in index.select(columns).to_pylist()
        if row["status"] == "ok"
    ]


def read_members(store: Store, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """The bytes of images, tar after tar; sequential where the members are.

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


def read_sides(store: Store, members: Sequence[Member]) -> dict[str, bytes]:
    """What is known of images, as JSON, by their keys; without those of which nothing is.

    Raises:
        ShardDamaged: a tar is not there, or shorter than its index says.
    """
    sides = dict[str, bytes]()
    known = [(member, _side_of(member)) for member in members if member.side_size is not None]
    for tar, group in groupby(known, key=lambda item: item[0].tar):
        owners, pieces = zip(*group, strict=True)
        data = _read(store, tar, pieces)
        sides |= {member.key: side for member, side in zip(owners, data, strict=True)}
    return sides


def _side_of(member: Member) -> Slice:
    return Slice(member.side_offset or 0, member.side_size or 0)


def _read(store: Store, tar: str, pieces: Sequence[Slice]) -> Iterator[bytes]:
    """Pieces of a tar that its index vouches for."""
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
