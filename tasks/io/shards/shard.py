"""Shards: WebDataset tars with an index of their members; names, columns and rows.

A shard is ``shard-000000.tar`` beside ``shard-000000.parquet`` and ``shard-000000.idx``,
DALI's index. The tar is plain USTAR (a PAX header only for names that are long or not
ASCII) with times and owners of zero, so equal content gives equal bytes; what is known
of an image, as JSON, stands right after it. The index has a row for every image that
was offered, refused ones with their reason included.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

SHARD_ENDINGS = ("tar", "parquet", "idx")
"""Endings of the three files of a shard."""

ORIGIN = "tar"
"""Key of the foreign tar's path in the metadata of an index."""


_LEFT_OUT = re.compile(r"__[^/]*__(?:/|\Z)|%(?:5F|25)")
"""First folders that WebDataset's readers skip, and those that an encoded one could be."""


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
    """Where one accepted image lies: the tar, offset and size in bytes, and its digest and size."""

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
    """An image on its way into a shard."""

    key: str
    source: str
    data: bytes
    sha256: str
    extension: str
    width: int
    height: int
    side: bytes | None = None
    """What is known of the image, as JSON."""
    reason: str | None = None
    """Why there is no ``side`` where the source had one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An image that is left out of a shard, and why; it has a row in the index."""

    key: str
    source: str
    reason: str


def shard_name(number: int) -> str:
    """Return the name of a shard by its number: shard-000000 and so on."""
    return f"shard-{number:06d}"


def member_name(key: str, extension: str) -> str:
    """Return the name of the tar member for a key: WebDataset will read the same key from it.

    Dots in the last part of the key are percent-encoded, as WebDataset would cut the key at
    the first one; percent signs too, so that the key can be decoded again. Of a first folder
    like ``__a__``, which WebDataset leaves out with all that is in it, the first letter is
    percent-encoded, and so is a percent sign in its place that would be taken for that.
    """
    folder, slash, base = key.rpartition("/")
    base = base.replace("%", "%25").replace(".", "%2E")
    if _LEFT_OUT.match(folder):
        folder = f"%{ord(folder[0]):02X}{folder[1:]}"
    return f"{folder}{slash}{base}.{extension}"
