"""Shards: WebDataset tars with an index of their members, and reading by that index.

A shard is ``shard-000000.tar`` beside ``shard-000000.parquet`` and ``shard-000000.idx``,
DALI's index. The tar is plain USTAR (a PAX header only for names that are long or not
ASCII) with times and owners of zero, so equal content gives equal bytes; what is known
of an image, as JSON, stands right after it. The index has a row for every image that
was offered, refused ones with their reason included.
"""

from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa

SHARD_ENDINGS = ("tar", "parquet", "idx")
"""The files of a shard."""


_ORIGIN = "tar"


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
