"""Writing shards: tars, or a file for each image, and indexes; equal content, equal bytes."""

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from tasks.io.artifacts.parquet import write_table
from tasks.io.shards.shard import (
    INDEX_SCHEMA,
    ORIGIN,
    SIDE_COLUMNS,
    Accepted,
    Refused,
    member_name,
)
from tasks.io.shards.sides import SIDE_KINDS

_BLOCK = 512


class Place(Protocol):
    """Takes the images of a shard and what stands beside them."""

    def add(self, key: str, extension: str, data: bytes) -> tuple[str, int]:
        """Write one; return its name there, and the offset of its first byte in its file."""

    def close(self) -> None:
        """Write what comes after the last one."""


class FilesOfTheirOwn:
    """Writes each image into a file that bears its key, and its sides beside it.

    Args:
        file: gives a local file to write, by the name that it will have.
    """

    def __init__(self, file: Callable[[str], Path]) -> None:
        self._file = file

    def add(self, key: str, extension: str, data: bytes) -> tuple[str, int]:
        """Write one file; return its name, and 0."""
        name = f"{key}.{extension}"
        self._file(name).write_bytes(data)
        return name, 0

    def close(self) -> None:
        """Do nothing: every file is whole by itself."""


class TarWriter:
    """Appends members to a tar and tells where their bytes begin."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def add(self, key: str, extension: str, data: bytes) -> tuple[str, int]:
        """Write one member; return its name, and the offset of its content's first byte."""
        name = member_name(key, extension)
        info = tarfile.TarInfo(name)
        info.size = len(data)
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        offset = self._position + len(header)
        padding = -len(data) % _BLOCK
        self._stream.write(header)
        self._stream.write(data)
        self._stream.write(b"\0" * padding)
        self._position = offset + len(data) + padding
        return name, offset

    def close(self) -> None:
        """Write the end of the archive; without it the tar is not whole."""
        self._stream.write(b"\0" * (2 * _BLOCK))


def write_dali_index(index: pa.Table, path: Path) -> None:
    """Write the index that DALI's reader of WebDataset takes (version 1.2 of wds2idx).

    It has a line for each image: ending, offset, size and name of each of its members. Spaces
    part these fields, so spaces of a name (which DALI only uses in its messages) are written
    as %20. DALI refuses an index without images.

    Args:
        index: the rows of the shard's own index.
        path: local file to write.
    """
    lines = []
    for row in index.to_pylist():
        if row["status"] == "ok":
            member = row["member"].replace(" ", "%20")
            base, _, extension = member.rpartition(".")
            fields = [extension, row["offset"], row["size"], member]
            for kind in SIDE_KINDS:
                offset, size = (row[column] for column in SIDE_COLUMNS[kind])
                fields += [] if offset is None else [kind, offset, size, f"{base}.{kind}"]
            lines.append(" ".join(map(str, fields)))
    text = "\n".join([f"v1.2 {len(lines)}", *lines, ""])
    path.write_text(text, "utf-8", newline="\n")


_BUFFER_BYTES = 1 << 20
"""Buffer of a tar that is written: it saves system calls, at each of which threads switch."""


class ShardWriter:
    """Appends images to a shard, and keeps the rows of its index.

    Args:
        name: of the shard.
        place: takes the images.
        origin: the foreign tar that all images come from, if they do.
    """

    def __init__(self, name: str, place: Place, origin: str | None = None) -> None:
        self._name, self._place, self._origin = name, place, origin
        self._rows: list[dict[str, Any]] = []
        self._content = hashlib.sha256()

    def add(self, image: Accepted | Refused) -> None:
        """Append an image with its sides; of a refused one, only the row of the index."""
        row: dict[str, Any] = {"shard": self._name, "key": image.key, "source": image.source}
        content = [image.key, None, image.reason]
        if isinstance(image, Refused):
            row |= {"status": "refused", "reason": image.reason}
        else:
            row |= {"status": "ok", "reason": image.reason, **self._append(image)}
            content[1] = image.sha256
            content += _digests_of_sides(image)
        self._rows.append(row)
        self._content.update(repr(tuple(content)).encode())

    def _append(self, image: Accepted) -> dict[str, Any]:
        member, offset = self._place.add(image.key, image.extension, image.data)
        row = {
            "member": member,
            "offset": offset,
            "size": len(image.data),
            "width": image.width,
            "height": image.height,
            "sha256": image.sha256,
        }
        for kind in SIDE_KINDS:
            if (data := image.sides.get(kind)) is not None:
                _, offset = self._place.add(image.key, kind, data)
                row |= zip(SIDE_COLUMNS[kind], (offset, len(data)), strict=True)
        return row

    def close(self, index: Path, dali: Path | None = None) -> tuple[pa.Table, str]:
        """Write the end of the tar, if there is one, and the indexes.

        Args:
            index: local file to write, in Parquet.
            dali: local file to write, DALI's index of a tar; None for none.

        Returns:
            The index, and the digest of the shard's content.
        """
        self._place.close()
        known = None if self._origin is None else {ORIGIN: self._origin}
        table = pa.Table.from_pylist(self._rows, INDEX_SCHEMA.with_metadata(known))
        write_table(table, index)
        if dali is not None:
            write_dali_index(table, dali)
        return table, self._content.hexdigest()[:32]


def _digests_of_sides(image: Accepted) -> list[str]:
    """Return what the sides of an image add to the digest of a shard's content.

    JSON was the only kind once, so its digest stands without the kind: digests of shards that
    have no others stay what they were.
    """
    digests = (
        (kind, hashlib.sha256(image.sides[kind]).hexdigest()) for kind in sorted(image.sides)
    )
    return [digest if kind == "json" else f"{kind} {digest}" for kind, digest in digests]


def write_shard(
    name: str,
    images: Iterator[Accepted | Refused],
    tar: Path,
    index: Path,
    dali: Path,
    *,
    origin: str | None = None,
) -> tuple[pa.Table, str]:
    """Write a tar and its indexes; return the index and the digest of the content.

    Args:
        name: of the shard.
        images: in the order of their keys.
        tar: local file to write.
        index: local file to write, in Parquet.
        dali: local file to write, DALI's index, in text.
        origin: the foreign tar that all images come from, if they do.
    """
    with tar.open("wb", _BUFFER_BYTES) as stream:
        writer = ShardWriter(name, TarWriter(stream), origin)
        for image in images:
            writer.add(image)
        return writer.close(index, dali)
