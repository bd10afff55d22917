"""TIFF written: strips of differences, deflated; the image's Exif is the beginning of the file.

Exif is laid out as a TIFF without an image, and what it holds is found by its place in it. At
the beginning of a file these places hold without a change, those that a camera's maker alone
knows included. Its first directory is written anew, with the tags of the image among its own.
Its second one, a small copy of the picture, is left out. Tags are those of TIFF 6.0 and of
Adobe's Photoshop TIFF Technical Notes.
"""

import struct
import zlib
from typing import Literal, NamedTuple

import numpy as np

from tasks.io.images.metadata.tags import Directory
from tasks.io.images.raster import Depth, Metadata, Pixels, Raster
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.levels import bands
from tasks.io.images.writers.metadata import as_rational, exif_directory

MOST_BYTES = 2**32 - 1
"""A place in the file has 32 bits."""

_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
_LETTERS = {_BYTE: "B", _SHORT: "H", _LONG: "L", _UNDEFINED: "B"}
_XMP, _ICC, _ORIENTATION = 700, 34_675, 274
_RESOLUTION = (282, 283, 296)
_DEFLATE, _LEVEL = 8, 1
_DIFFERENCES, _DIFFERENCES_OF_FLOATS = 2, 3
_STRIP_BYTES = 1 << 18
_UNASSOCIATED, _INCH = 2, 2

_OF_PIXELS = frozenset(
    {
        *(254, 255, 256, 257, 258, 259, 262, 266, 273, _ORIENTATION, 277, 278, 279, 280, 281, 284),
        *(290, 291, 301, 317, 320, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 342),
        *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, _XMP, _ICC),
        37_724,  # Photoshop's layers, which show the image as it was
    }
)
"""Tags that tell how pixels are stored, or what is written here from elsewhere."""


class _Value(NamedTuple):
    """What a directory says of a tag: the TIFF type, how many values, and their bytes."""

    kind: int
    values: int
    data: bytes


def write_tiff(raster: Raster, depth: Depth, _: Form) -> bytes:
    """Return an image as TIFF."""
    said = raster.metadata
    directory = exif_directory(said.exif)
    order: Literal["<", ">"] = ">" if directory is not None and directory.order == ">" else "<"
    written = bytearray(said.exif if directory else struct.pack("<2sHL", b"II", 42, 0))
    places, sizes, rows = [], [], _rows_of_a_strip(raster, depth)
    for band in bands(raster, depth, rows):
        places.append(_append(written, zlib.compress(_differences(band, order), _LEVEL)))
        sizes.append(len(written) - places[-1])
    tags = _tags_of_exif(directory, has_resolution=said.resolution is not None)
    tags |= _tags_of_image(raster, depth, order, rows)
    tags |= _tags_of_metadata(said, order)
    tags |= {273: _numbers(order, _LONG, places), 279: _numbers(order, _LONG, sizes)}
    _append_directory(written, order, tags)
    return bytes(written)


def _rows_of_a_strip(raster: Raster, depth: Depth) -> int:
    channels = (1 if raster.is_grey else 3) + (raster.alpha is not None)
    return max(1, _STRIP_BYTES // (raster.width * channels * depth.itemsize))


def _append(written: bytearray, data: bytes) -> int:
    """Append data at an even place; return it."""
    written += bytes(len(written) % 2)
    place = len(written)
    written += data
    return place


def _differences(band: Pixels, order: Literal["<", ">"]) -> bytes:
    """Return rows as the differences of neighbours, in a byte order."""
    step = band.shape[2] if band.ndim == 3 else 1
    rows = band.reshape(len(band), -1)
    if band.dtype.kind == "f":  # the bytes of all numbers, the highest of each number first
        places = rows.astype(">f4").view(np.uint8).reshape(len(rows), -1, 4)
        rows = np.ascontiguousarray(places.transpose(0, 2, 1)).reshape(len(rows), -1)
    found = rows.copy()
    np.subtract(rows[:, step:], rows[:, :-step], out=found[:, step:])
    return found.astype(found.dtype.newbyteorder(order)).tobytes()


def _tags_of_image(raster: Raster, depth: Depth, order: str, rows: int) -> dict[int, _Value]:
    """Return the tags that tell how an image is stored, without where."""
    channels = (1 if raster.is_grey else 3) + (raster.alpha is not None)
    is_float = depth.kind == "f"
    tags = {
        256: _numbers(order, _LONG, [raster.width]),
        257: _numbers(order, _LONG, [raster.height]),
        258: _numbers(order, _SHORT, [depth.itemsize * 8] * channels),
        259: _numbers(order, _SHORT, [_DEFLATE]),
        262: _numbers(order, _SHORT, [1 if raster.is_grey else 2]),
        _ORIENTATION: _numbers(order, _SHORT, [1]),
        277: _numbers(order, _SHORT, [channels]),
        278: _numbers(order, _LONG, [rows]),
        284: _numbers(order, _SHORT, [1]),
        317: _numbers(order, _SHORT, [_DIFFERENCES_OF_FLOATS if is_float else _DIFFERENCES]),
        339: _numbers(order, _SHORT, [3 if is_float else 1] * channels),
    }
    if raster.alpha is not None:
        tags[338] = _numbers(order, _SHORT, [_UNASSOCIATED])
    return tags


def _tags_of_metadata(said: Metadata, order: str) -> dict[int, _Value]:
    """Return the tags of profile, XMP and resolution."""
    tags = {}
    if said.icc:
        tags[_ICC] = _Value(_UNDEFINED, len(said.icc), said.icc)
    if said.xmp:
        tags[_XMP] = _Value(_BYTE, len(said.xmp), said.xmp)
    if said.resolution is not None:
        across, down, unit = _RESOLUTION
        for tag, value in zip((across, down), said.resolution, strict=True):
            tags[tag] = _Value(_RATIONAL, 1, as_rational(value, order))
        tags[unit] = _numbers(order, _SHORT, [_INCH])
    return tags


def _tags_of_exif(directory: Directory | None, *, has_resolution: bool) -> dict[int, _Value]:
    """Return the tags of Exif's first directory, with their values or where these stand."""
    if directory is None:
        return {}
    other = {*_OF_PIXELS, *(_RESOLUTION if has_resolution else ())}
    return {
        entry.tag: _Value(
            entry.kind,
            entry.values,
            directory.data[entry.place :][:4]
            if entry.size_bytes <= 4
            else struct.pack(f"{directory.order}L", entry.place),
        )
        for entry in directory.entries
        if entry.tag not in other and entry.size_bytes
    }


def _numbers(order: str, kind: int, values: list[int]) -> _Value:
    return _Value(kind, len(values), struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values))


def _append_directory(written: bytearray, order: str, tags: dict[int, _Value]) -> None:
    """Append the directory, and say at the beginning of the file where it is.

    Of a tag whose bytes are not four they are appended before it.
    """
    entries = []
    for tag, (kind, values, data) in sorted(tags.items()):
        is_long = len(data) > 4
        shown = struct.pack(f"{order}L", _append(written, data)) if is_long else data
        entries.append(struct.pack(f"{order}HHL4s", tag, kind, values, shown))
    count = struct.pack(f"{order}H", len(entries))
    place = _append(written, b"".join([count, *entries, bytes(4)]))
    written[4:8] = struct.pack(f"{order}L", place)
