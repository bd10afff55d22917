"""Shards: WebDataset tars with an index of their members; names, columns and rows.

A shard is ``shard-000000.tar`` beside ``shard-000000.parquet`` and ``shard-000000.idx``,
DALI's index. The tar is plain USTAR (a PAX header only for names that are long or not
ASCII) with times and owners of zero, so equal content gives equal bytes; what stands beside
an image (its caption, its class, JSON) comes right after it. The index has a row for every
image that was offered, refused ones with their reason included.

A shard may also be without a tar: then each of its images is a file of its own, with what stands
beside it, in a folder that all shards of the data set share.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from tasks.io.shards.sides import SideKind

SHARD_ENDINGS = ("tar", "parquet", "idx")
"""Endings of the three files of a shard."""

IMAGES = "images"
"""Folder beside the indexes of shards in which their images lie where they are in no tars."""

ORIGIN = "tar"
"""Key of the foreign tar's path in the metadata of an index, or of the part's name."""

_PART = re.compile(r"(?<=\.tar)#\d+\Z", re.IGNORECASE)
"""What the name of a part of a tar has behind the tar's path, which always ends with .tar."""

_LEFT_OUT = re.compile(r"__[^/]*__(?:/|\Z)|%(?:5F|25)")
"""First folders that WebDataset's readers skip, and those that an encoded one could be."""


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


INDEX_SCHEMA = pa.schema(
    [
        _column("key", pa.string(), "path in the corpus, without extension"),
        _column("shard", pa.string(), "name of the shard"),
        _column("member", pa.string(), "name in the tar, or of its own file; null if refused"),
        _column("offset", pa.int64(), "first byte in the tar, 0 in its own file; null if refused"),
        _column("size", pa.int64(), "bytes of the image; null if refused"),
        _column("width", pa.int32(), "pixels, EXIF orientation applied; null if refused"),
        _column("height", pa.int32(), "pixels, EXIF orientation applied; null if refused"),
        _column("sha256", pa.string(), "digest of the image's bytes; null if refused"),
        _column("status", pa.string(), "ok or refused"),
        _column("reason", pa.string(), "why it was refused, or came without a side; else null"),
        _column("source", pa.string(), "path in the corpus"),
        _column("side_offset", pa.int64(), "first byte of its JSON in the tar; null without"),
        _column("side_size", pa.int64(), "bytes of its JSON; null without"),
        _column("txt_offset", pa.int64(), "first byte of its .txt in the tar; null without"),
        _column("txt_size", pa.int64(), "bytes of its .txt; null without"),
        _column("cls_offset", pa.int64(), "first byte of its .cls in the tar; null without"),
        _column("cls_size", pa.int64(), "bytes of its .cls; null without"),
    ]
)

SIDE_COLUMNS: Mapping[SideKind, tuple[str, str]] = {
    "cls": ("cls_offset", "cls_size"),
    "json": ("side_offset", "side_size"),
    "txt": ("txt_offset", "txt_size"),
}
"""Columns of an index that say where the sides of an image begin, and how long they are."""


class Side(NamedTuple):
    """Where a side of an image lies: its file (a tar, or its own), offset and size in bytes."""

    kind: SideKind
    file: str
    offset: int
    size: int


class Member(NamedTuple):
    """Where one accepted image lies, with its digest and size.

    The file is a tar, or its own, in which the offset is 0; offset and size are in bytes.
    """

    key: str
    file: str
    offset: int
    size: int
    sha256: str
    width: int
    height: int
    sides: tuple[Side, ...] = ()
    member: str = ""
    """Its name in the tar, or in the folder of images."""


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
    sides: Mapping[SideKind, bytes] = field(default_factory=dict)
    """What stands beside the image."""
    left_out: Mapping[SideKind, str] = field(default_factory=dict)
    """Why sides that the source had are not there."""
    remark: str = ""
    """Why parts of what its file says, as a damaged colour profile, do not count."""

    @property
    def reason(self) -> str | None:
        """Why something that the source had is not there, in one text; None where all is."""
        missing = [self.remark, *(self.left_out[kind] for kind in sorted(self.left_out))]
        return "; ".join(filter(None, missing)) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An image that is left out of a shard, and why; it has a row in the index."""

    key: str
    source: str
    reason: str


def part_name(tar: str, number: int) -> str:
    """Return the name of a part of a tar: its path, a number sign, and the part's number from 0."""
    return f"{tar}#{number}"


def tar_of(origin: str) -> str:
    """Return the path of a foreign tar, by its own or by the name of a part of it."""
    return _PART.sub("", origin)


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
