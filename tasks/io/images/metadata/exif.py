"""Exif: made of a TIFF's own directories, which hold what Exif holds in other files; resolution."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Union

from tasks.io.images.metadata.tags import Directory, directory_of_exif

_DESCRIPTIONS = frozenset(
    {
        *(269, 270, 271, 272, 274, 282, 283, 285, 296, 305, 306, 315, 316, 318, 319),
        *(18246, 18249, 33432, 40091, 40092, 40093, 40094, 40095),
    }
)
"""Tags of a TIFF that describe the picture: who made it, when and with what, its resolution; and
not how its pixels are stored."""

_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_BELOW: Mapping[int, tuple[int, ...]] = {0: (_EXIF, _GPS), _EXIF: (_INTEROPERABILITY,)}
"""Tags that point to directories, by the tag of the one that they stand in."""

_LONG, _RATIONAL = 4, 5
_OLD_TYPES = range(1, 13)
"""Types of values that Exif has."""

_X_RESOLUTION, _Y_RESOLUTION, _UNIT, _INCHES, _CENTIMETRES = 282, 283, 296, 2, 3


class _Values(NamedTuple):
    kind: int
    values: int
    data: bytes


_Tree = Mapping[int, Union[_Values, "_Tree"]]
"""Values of the tags of a directory, and the directories below it."""


def exif_in_tiff(tiff: Directory) -> bytes:
    """Return Exif of what a TIFF says of the picture; empty if that is nothing."""
    if not (tree := _tree(tiff, 0)):
        return b""
    head = (b"II" if tiff.order == "<" else b"MM") + struct.pack(tiff.order + "HL", 42, 8)
    return head + _written(tree, tiff.order, len(head))


def _tree(directory: Directory, own_tag: int) -> _Tree:
    """Return what a directory, to which a tag points, says of the picture."""
    below = _BELOW.get(own_tag, ())
    tree: dict[int, _Values | _Tree] = {}
    for entry in directory.entries:
        data = directory.bytes_of(entry)
        is_whole = entry.kind in _OLD_TYPES and entry.size_bytes == len(data) > 0
        is_wanted = entry.tag in _DESCRIPTIONS if own_tag == 0 else entry.tag not in below
        if is_whole and is_wanted:
            tree[entry.tag] = _Values(entry.kind, entry.values, data)
    for tag in below:
        with suppress(struct.error):
            if (other := directory.below(tag)) is not None and (found := _tree(other, tag)):
                tree[tag] = found
    return tree


def _written(tree: _Tree, order: str, start: int) -> bytes:
    """Return a directory, which will stand at a place, with its values and others behind it."""
    entries, behind = b"", b""
    end = start + 2 + 12 * len(tree) + 4
    for tag in sorted(tree):
        found, place = tree[tag], end + len(behind)
        if not isinstance(found, _Values):
            behind += _even(_written(found, order, place))
            found = _Values(_LONG, 1, struct.pack(order + "L", place))
        data = found.data
        if len(data) > 4:
            behind += _even(data)
            data = struct.pack(order + "L", place)
        entries += struct.pack(order + "HHL", tag, found.kind, found.values) + data.ljust(4, b"\0")
    return struct.pack(order + "H", len(tree)) + entries + bytes(4) + behind


def _even(data: bytes) -> bytes:
    return data + bytes(len(data) % 2)


def resolution_in(exif: bytes) -> tuple[float, float] | None:
    """Return the pixels per inch that Exif says, across and down; None if it says none."""
    with suppress(struct.error, ZeroDivisionError):
        directory = directory_of_exif(exif)
        if directory is None:
            return None
        unit = directory.number(_UNIT, _INCHES)
        if unit not in (_INCHES, _CENTIMETRES):  # numbers without a unit only say a ratio
            return None
        scale = 2.54 if unit == _CENTIMETRES else 1.0
        across, down = (_ratio(directory, tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        if across is not None and down is not None:
            return across * scale, down * scale
    return None


def _ratio(directory: Directory, tag: int) -> float | None:
    data = directory.content(tag)
    is_there = any(entry.tag == tag and entry.kind == _RATIONAL for entry in directory.entries)
    if not is_there or len(data) != 8:
        return None
    above, under = struct.unpack(directory.order + "LL", data)
    return float(above / under)
