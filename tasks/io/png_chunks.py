"""The chunks of a PNG, looked at without Pillow, which inflates all pixels for some of them."""

import struct

from tasks.io.errors import ImageRefused

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 1 << 17
"""Writers cut pixels into pieces of 8 kB or more; a file of empty chunks would take Pillow
minutes."""

_METADATA = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})
"""Where Pillow finds an orientation."""


def has_late_metadata(data: bytes) -> bool:
    """Whether a PNG has metadata behind its first pixels; any other file has none.

    Raises:
        ImageRefused: it has more chunks than any writer makes.
    """
    if not data.startswith(SIGNATURE):
        return False
    place, pixels = len(SIGNATURE), False
    for _ in range(MOST_CHUNKS):
        if place + 8 > len(data):
            return False
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            return False
        if pixels and kind in _METADATA:
            return True
        pixels = pixels or kind == b"IDAT"
        place += 12 + size
    raise ImageRefused(f"damaged: more than {MOST_CHUNKS} chunks")
