"""The directory of tags that a TIFF is described by, and Exif too.

Read straight from the bytes, tag by tag, and so without what Pillow does on the way: unpacking
all tags, odd ones too, to one of which it may object.
"""

import struct
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

MOST_ENTRIES = 1000
"""Entries of a directory; cameras write some dozen."""

BLOBS = frozenset({1, 2, 7})
"""TIFF types whose values are bytes or text."""

ORIENTATION = 0x0112

EXIF_PREFIX = b"Exif\0\0"
Order = Literal["<", ">"]
_ORDERS: dict[bytes, Order] = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of a value by its TIFF type; entries of other types are left out by all readers."""

_POINTERS = {4: "L", 13: "L", 16: "Q", 18: "Q"}
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 16: "Q"}


class Entry(NamedTuple):
    """An entry of a directory, whose values, so many of a kind, stand at a place of the data."""

    tag: int
    kind: int
    values: int
    place: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all values; zero for a type that does not exist."""
        return _UNITS.get(self.kind, 0) * self.values


class Directory(NamedTuple):
    """The first directory of a TIFF, and the offset of the next one, zero if there is none."""

    data: bytes
    order: Order
    is_big: bool
    """Whether it is a BigTIFF, with offsets of 64 bits."""
    entries: Sequence[Entry]
    next_place: int

    @classmethod
    def of(cls, data: bytes, most_entries: int = MOST_ENTRIES) -> "Directory | None":
        """Return the first directory; None if there are too many entries, or it is no TIFF.

        Raises:
            struct.error: the directory lies outside of the data.
        """
        if (order := _ORDERS.get(data[:4])) is None:
            return None
        is_big = b"+" in data[:4]
        form, place = (order + "Q", 8) if is_big else (order + "L", 4)
        (start,) = _unpacked(form, data, place)
        return cls.at(start, data, order, is_big=is_big, most_entries=most_entries)

    @classmethod
    def at(
        cls,
        start: int,
        data: bytes,
        order: Order,
        *,
        is_big: bool,
        most_entries: int = MOST_ENTRIES,
    ) -> "Directory | None":
        """Return the directory at a place; None if there are too many entries.

        Raises:
            struct.error: the directory lies outside of the data.
        """
        offset, counter, head = ("Q", "Q", order + "HHQ") if is_big else ("L", "H", order + "HHL")
        (count,) = _unpacked(order + counter, data, start)
        if count > most_entries:
            return None
        start += struct.calcsize(order + counter)
        room = struct.calcsize(order + offset)
        size = struct.calcsize(head) + room
        entries = []
        for place in range(start, start + count * size, size):
            tag, kind, values = _unpacked(head, data, place)
            entry = Entry(tag, kind, values, place + size - room)
            if entry.size_bytes > room:
                entry = entry._replace(place=_unpacked(order + offset, data, entry.place)[0])
            entries.append(entry)
        (next_place,) = _unpacked(order + offset, data, start + count * size)
        return cls(data, order, is_big, entries, next_place)

    def below(self, tag: int) -> "Directory | None":
        """Return the directory that a tag points to; None if it points to none.

        Raises:
            struct.error: the directory lies outside of the data.
        """
        entry = next((entry for entry in self.entries if entry.tag == tag), None)
        if entry is None or entry.kind not in _POINTERS or entry.values != 1:
            return None
        (start,) = _unpacked(self.order + _POINTERS[entry.kind], self.data, entry.place)
        return Directory.at(start, self.data, self.order, is_big=self.is_big)

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; none where it is absent, or of another type.

        Raises:
            struct.error: they lie outside of the data.
        """
        entry = next((entry for entry in self.entries if entry.tag == tag), None)
        if entry is None or entry.kind not in _WHOLE_NUMBERS:
            return ()
        return _unpacked(
            f"{self.order}{entry.values}{_WHOLE_NUMBERS[entry.kind]}", self.data, entry.place
        )

    def content(self, tag: int) -> bytes:
        """Return the bytes of a tag's values; none where it is absent."""
        return b"".join(self.bytes_of(entry) for entry in self.entries if entry.tag == tag)

    def bytes_of(self, entry: Entry) -> bytes:
        """Return the bytes of an entry's values, as far as the data go."""
        return self.data[entry.place : entry.place + entry.size_bytes]

    def number(self, tag: int, default: int) -> int:
        """Return the first number of a tag, or what is taken where it is absent."""
        return next(iter(self.numbers(tag)), default)


def _unpacked(form: str, data: bytes, place: int) -> tuple[Any, ...]:
    """Return what stands at a place, which a BigTIFF may give with 64 bits.

    Raises:
        struct.error: it lies outside of the data.
    """
    if place > len(data):
        raise struct.error(f"a place must lie within {len(data)} bytes, got {place}")
    return struct.unpack_from(form, data, place)


def directory_of_exif(exif: bytes) -> Directory | None:
    """Return the first directory of Exif, with its prefix or without; None if it is none."""
    return Directory.of(exif.removeprefix(EXIF_PREFIX).removeprefix(EXIF_PREFIX))
