"""Boxes of the ISO base media file format, which AVIF and JPEG XL files are made of."""

import struct
from collections.abc import Iterator


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box, with a size of 64 bits where it needs one."""
    if len(content) + 8 < 2**32:
        return struct.pack(">L4s", len(content) + 8, kind) + content
    return struct.pack(">L4sQ", 1, kind, len(content) + 16) + content


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box, one after the other."""
    place = 0
    while place < len(data):
        size, kind = struct.unpack_from(">L4s", data, place)
        start = place + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = place + size if size else len(data)
        yield kind, data[start:end]
        place = end
