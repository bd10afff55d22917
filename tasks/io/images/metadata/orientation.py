"""How an image is turned, as Exif or XMP says, and both made to say that it is upright."""

import re
import struct
from contextlib import suppress

from tasks.io.images.metadata.tags import ORIENTATION, directory_of_exif

_UPRIGHT = 1
_IN_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)([0-9])""")
_FORMS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}
"""Types of whole numbers that a writer may have taken for the orientation."""


def orientation_of(exif: bytes, xmp: bytes) -> int:
    """Return the orientation of an image, 1 to 8; 1 where it is shown as it is stored.

    What Exif says counts, and XMP only where Exif says nothing.
    """
    with suppress(struct.error):
        directory = directory_of_exif(exif)
        if directory is not None and (found := directory.numbers(ORIENTATION)):
            return found[0] if found[0] in range(1, 9) else _UPRIGHT
    match = _IN_XMP.search(xmp)
    return int(match[2]) if match and int(match[2]) in range(1, 9) else _UPRIGHT


def upright_exif(exif: bytes) -> bytes:
    """Return Exif with the orientation 1, and every other byte as it was."""
    directory = directory_of_exif(exif)
    if directory is None:
        return exif
    turned = bytearray(exif)
    for entry in directory.entries:
        if entry.tag == ORIENTATION and entry.kind in _FORMS and entry.values == 1:
            struct.pack_into(directory.order + _FORMS[entry.kind], turned, entry.place, _UPRIGHT)
    return bytes(turned)


def upright_xmp(xmp: bytes) -> bytes:
    """Return XMP with the orientation 1, and every other byte as it was."""
    return _IN_XMP.sub(rb"\g<1>1", xmp)
