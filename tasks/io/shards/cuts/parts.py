"""The parts of a tar that is cut: where they lie, and what each must know of the others; a table.

The table names no key: marks (``key_mark``) stand for them.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.io.artifacts.parquet import opened, present, read_table, whole, writer
from tasks.io.ledger import with_fields
from tasks.io.shards.samples import Before
from tasks.io.shards.sides import SideKind
from tasks.io.store import Slice, Store
from tasks.io.store.cache import at_hand

_GROUP = 64
"""Rows of a row group: what one part must know is read without that of most others."""


class Part(NamedTuple):
    """A part of a tar: whole samples that follow each other."""

    number: int
    """Its turn in the tar, from 0 on."""
    start: int
    """Of its first byte in the tar."""
    end: int
    """Where the next part begins, or the tar's size."""
    samples: int
    """How many images and refused members its headers tell."""
    members: int
    """How many members of the tar come before."""
    refused: int
    """How many of these are refused."""
    is_last: bool
    across: str
    """Digest of what it must know of other parts."""

    @property
    def place(self) -> Slice:
        """Where it lies in the tar."""
        return Slice(self.start, self.end - self.start)

    @property
    def in_fingerprints(self) -> tuple[object, ...]:
        """What fingerprints hold of it: these fields, whatever others there may come to be."""
        ends, counts = (self.start, self.end), (self.samples, self.members, self.refused)
        return (self.number, *ends, *counts, self.is_last, self.across)


class SideElsewhere(NamedTuple):
    """A side that lies in another part than its image."""

    mark: bytes
    """Of the image's key."""
    kind: SideKind
    offset: int
    """In the tar."""
    size: int
    reason: str | None = None
    """Why it is left out, if its headers are reason enough."""

    def __repr__(self) -> str:
        """Return what stands in digests: these fields, whatever others there may come to be."""
        fields = ("mark", "kind", "offset", "size", "reason")
        return with_fields("SideElsewhere", self, fields)


class Across(NamedTuple):
    """What a part must know of other parts, to give what it gives where the tar is read as one."""

    taken: tuple[bytes, ...] = ()
    """Marks of its keys that images of earlier parts have."""
    renamed: tuple[bytes, ...] = ()
    """The same, of keys as the corpus changes them."""
    ambiguous: tuple[bytes, ...] = ()
    """Marks of keys in composed letters that its keys must not get: others of the tar would too."""
    sides: tuple[SideElsewhere, ...] = ()
    """Sides of its images that lie in other parts, in their order."""

    @property
    def digest(self) -> str:
        """Its digest, 32 hexadecimal digits, of these fields, whatever others there may be."""
        text = with_fields("Across", self, ("taken", "renamed", "ambiguous", "sides"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def before(self, part: Part) -> Before:
        """Return what the reader of a part must know."""
        return Before(part.members, part.refused, frozenset(self.taken), part.is_last)


_MARK = pa.binary()
_SIDE = pa.struct(
    [
        ("mark", _MARK),
        ("kind", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("reason", pa.string()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("number", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("samples", pa.int64()),
        ("members", pa.int64()),
        ("refused", pa.int64()),
        ("is_last", pa.bool_()),
        ("across", pa.string()),
        ("taken", pa.list_(_MARK)),
        ("renamed", pa.list_(_MARK)),
        ("ambiguous", pa.list_(_MARK)),
        ("sides", pa.list_(_SIDE)),
    ]
)


def write_parts(parts: Sequence[tuple[Part, Across]], path: Path) -> None:
    """Write the parts of a tar, in their order, to a local file."""
    with writer(path, _SCHEMA) as table:
        for first in range(0, len(parts), _GROUP):
            rows = [_row(part, across) for part, across in parts[first : first + _GROUP]]
            table.write_table(pa.Table.from_pylist(rows, _SCHEMA), row_group_size=_GROUP)


def read_parts(store: Store, path: str) -> list[Part]:
    """Return the parts of a tar in their order.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    rows = read_table(store, path, Part._fields).to_pylist()
    return [Part(**row) for row in rows]


def read_across(store: Store, path: str, part: Part) -> Across | None:
    """Return what a part must know of the others; None if the tar is cut otherwise by now.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    with present(path):
        source = at_hand(store, path)
    with whole(path), opened(source) as table:
        group = part.number // _GROUP
        found = table.num_row_groups > group
        rows = table.read_row_group(group, use_threads=False).to_pylist() if found else []
    row = next((row for row in rows if row["number"] == part.number), None)
    if row is None or Part(**{name: row[name] for name in Part._fields}) != part:
        return None
    return _across(row)


def _row(part: Part, across: Across) -> dict[str, Any]:
    sides = [side._asdict() for side in across.sides]
    return {**part._asdict(), **across._asdict(), "across": part.across, "sides": sides}


def _across(row: dict[str, Any]) -> Across:
    taken, renamed, ambiguous = (tuple(row[name]) for name in ("taken", "renamed", "ambiguous"))
    return Across(taken, renamed, ambiguous, tuple(SideElsewhere(**side) for side in row["sides"]))
