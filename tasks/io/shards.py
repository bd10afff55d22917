"""Shards: WebDataset tars with an index of their members, and reading by that index.

A shard is ``shard-000000.tar`` beside ``shard-000000.parquet``. The tar is plain USTAR
(a PAX header only for names that are long or not ASCII) with times and owners of zero,
so equal content gives equal bytes. The index has a row for every image that was
offered, refused ones with their reason included.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.io.store import Store

_BLOCK = 512


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
        _column("reason", pa.string(), "why it was refused; null if ok"),
        _column("source", pa.string(), "path in the corpus"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An image on its way into a shard."""

    key: str
    source: str
    data: bytes
    sha256: str
    extension: str
    width: int
    height: int


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


class TarWriter:
    """Appends members to a tar and tells where their bytes begin."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def add(self, name: str, data: bytes) -> int:
        """Write one member; returns the offset of its first byte."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        offset = self._position + len(header)
        padding = -len(data) % _BLOCK
        self._stream.write(header)
        self._stream.write(data)
        self._stream.write(b"\0" * padding)
        self._position = offset + len(data) + padding
        return offset

    def close(self) -> None:
        """Write the end of the archive; without it the tar is not whole."""
        self._stream.write(b"\0" * (2 * _BLOCK))


def write_shard(
    name: str, images: Iterator[Accepted | Refused], tar: Path, index: Path
) -> tuple[pa.Table, str]:
    """Write a tar and its index; returns the index and the digest of the content.

    Args:
        name: of the shard.
        images: in the order of their keys.
        tar: local file to write.
        index: local file to write.
    """
    with tar.open("wb") as stream:
        writer = TarWriter(stream)
        rows = [{"shard": name, **_row(writer, image)} for image in images]
        writer.close()
    table = pa.Table.from_pylist(rows, INDEX_SCHEMA)
    pq.write_table(table, index)
    content = hashlib.sha256()
    for row in rows:
        content.update(repr((row["key"], row.get("sha256"), row.get("reason"))).encode())
    return table, content.hexdigest()[:32]


def _row(writer: TarWriter, image: Accepted | Refused) -> dict[str, Any]:
    if isinstance(image, Refused):
        reason = {"status": "refused", "reason": image.reason}
        return {"key": image.key, "source": image.source, **reason}
    member = member_name(image.key, image.extension)
    return {
        "key": image.key,
        "source": image.source,
        "member": member,
        "offset": writer.add(member, image.data),
        "size": len(image.data),
        "width": image.width,
        "height": image.height,
        "sha256": image.sha256,
        "status": "ok",
    }


def read_table(store: Store, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file of the store.

    In this thread alone: one of Arrow's that lets go of the bytes, which are Python's,
    while the interpreter ends, aborts the process.
    """
    with pq.ParquetFile(io.BytesIO(store.read(path)), pre_buffer=False) as table:
        return table.read(columns=columns, use_threads=False)


def members_of(index: pa.Table, folder: str) -> list[Member]:
    """The accepted images of an index, in its order; tars lie in ``folder``."""
    columns = ("key", "shard", "offset", "size", "sha256", "width", "height", "status")
    return [
        Member(row["key"], f"{folder}/{row['shard']}.tar", *(row[name] for name in columns[2:-1]))
        for row in index.select(columns).to_pylist()
        if row["status"] == "ok"
    ]


def read_members(store: Store, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
    """The bytes of images, tar after tar; sequential where the members are.

    Raises:
        OSError: a tar is shorter than its index says.
    """
    for tar, group in groupby(members, key=lambda member: member.tar):
        with store.open(tar) as stream:
            for member in group:
                stream.seek(member.offset)
                data = stream.read(member.size)
                if len(data) != member.size:
                    raise OSError(
                        f"{tar} must hold {member.size} bytes at {member.offset}, got "
                        f"{len(data)}; remove its record from the ledger and run again"
                    )
                yield member, data
