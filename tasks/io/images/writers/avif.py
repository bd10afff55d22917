"""AVIF of 10 and 12 bits, with profile, Exif and XMP.

The library that writes such samples takes none of these. They are put into the boxes of the file
that it makes, as items beside the image: ISO/IEC 14496-12 and 23008-12, and AVIF 1.1.
"""

import struct
from typing import NamedTuple

from tasks.io.images.raster import Depth, Metadata, Raster
from tasks.io.images.writers.boxes import box, boxes
from tasks.io.images.writers.by_pillow import SPEED, bits_of
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.levels import of_bits, samples
from tasks.io.images.writers.metadata import exif_with_resolution

_IMAGE = 1
"""Number of the item that is the image, as its library counts."""

_NO_FLAGS = bytes(4)
_SRGB_PRIMARIES, _SRGB_TRANSFER = 1, 13


def write_deep_avif(raster: Raster, depth: Depth, form: Form) -> bytes:
    """Return an image as AVIF of 10 or 12 bits."""
    from imagecodecs import avif_encode

    bits = bits_of(raster)
    data = avif_encode(
        of_bits(samples(raster, depth), bits),
        level=form.quality,
        speed=SPEED,
        bitspersample=bits,
        pixelformat="400" if raster.is_grey else form.subsampling.replace(":", ""),
        numthreads=1,
        primaries=None if raster.metadata.icc else _SRGB_PRIMARIES,
        transfer=None if raster.metadata.icc else _SRGB_TRANSFER,
    )
    return _with_metadata(bytes(data), raster.metadata)


class _Item(NamedTuple):
    """What stands beside an image: its type, what follows the type, and its bytes."""

    kind: bytes
    described: bytes
    data: bytes


def _with_metadata(data: bytes, said: Metadata) -> bytes:
    """Return a file with a profile, Exif and XMP; the samples stay as they are.

    Items are appended, and places of the image move by what the boxes before it grow.
    """
    exif, items = exif_with_resolution(said), list[_Item]()
    items += [_Item(b"Exif", b"\0", bytes(4) + exif)] if exif else []
    items += [_Item(b"mime", b"\0application/rdf+xml\0", said.xmp)] if said.xmp else []
    if not (items or said.icc):
        return data
    (_, kind), (_, meta), (_, image) = boxes(data)
    head = box(b"ftyp", kind)
    before = len(head) + len(box(b"meta", meta)) + 8
    after = before + len(_meta(meta, said.icc, items, 0, 0)) - len(meta)
    whole = _meta(meta, said.icc, items, after - before, after + len(image))
    stored = image + b"".join(item.data for item in items)
    return head + box(b"meta", whole) + box(b"mdat", stored)


def _meta(meta: bytes, icc: bytes, items: list[_Item], moved: int, start: int) -> bytes:
    """Return the content of the box that describes items, with those that are added.

    Args:
        meta: as it is without them.
        icc: profile of the image; empty for none.
        items: to be added.
        moved: how many bytes further the image is.
        start: place of the first added item.
    """
    found = dict(boxes(meta[4:]))
    (images,) = struct.unpack_from(">H", found[b"iinf"], 4)
    numbers = range(images + 1, images + 1 + len(items))
    found[b"iinf"] = _described(found[b"iinf"], items, numbers)
    found[b"iloc"] = _located(found[b"iloc"], items, numbers, moved, start)
    references = found.pop(b"iref", _NO_FLAGS)
    references += b"".join(box(b"cdsc", struct.pack(">HHH", n, 1, _IMAGE)) for n in numbers)
    properties = found.pop(b"iprp")
    found[b"iref"] = references
    found[b"iprp"] = _with_profile(properties, icc) if icc else properties
    return meta[:4] + b"".join(box(kind, content) for kind, content in found.items())


def _described(iinf: bytes, items: list[_Item], numbers: range) -> bytes:
    added = [
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", number, 0, item.kind) + item.described)
        for number, item in zip(numbers, items, strict=True)
    ]
    return _NO_FLAGS + struct.pack(">H", numbers.stop - 1) + iinf[6:] + b"".join(added)


def _located(iloc: bytes, items: list[_Item], numbers: range, moved: int, start: int) -> bytes:
    """Return where all items are: each in one piece, told by two numbers of 32 bits."""
    places = [
        (number, 0, 1, place + moved, size)
        for number, _, _, place, size in struct.iter_unpack(">HHHLL", iloc[8:])
    ]
    for number, item in zip(numbers, items, strict=True):
        places.append((number, 0, 1, start, len(item.data)))
        start += len(item.data)
    head = iloc[:6] + struct.pack(">H", len(places))
    return head + b"".join(struct.pack(">HHHLL", *place) for place in places)


def _with_profile(iprp: bytes, icc: bytes) -> bytes:
    """Return the properties of items with a profile among them, which is the image's."""
    found = dict(boxes(iprp))
    number = sum(1 for _ in boxes(found[b"ipco"])) + 1
    found[b"ipco"] += box(b"colr", b"prof" + icc)
    owned = found[b"ipma"]  # flags, the number of items, and of the first its number and properties
    item, count = struct.unpack_from(">HB", owned, 8)
    end = 11 + count
    first = struct.pack(">HB", item, count + 1) + owned[11:end] + bytes([number])
    found[b"ipma"] = owned[:8] + first + owned[end:]
    return b"".join(box(kind, content) for kind, content in found.items())
