"""Headers of tars: what one block of 512 bytes says, and the records of extended ones."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal, NamedTuple

from tasks.io.errors import TarDamaged

BLOCK = 512
"""Bytes of a tar's blocks: of headers, and what contents are padded to."""

LARGEST_HEADER = 1 << 20
"""Bytes that an extended header may have, which holds a name and what systems add to it."""

_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}

Kind = Literal[
    "file",
    "folder",
    "link",
    "device",
    "fifo",
    "sparse file",
    "volume label",
    "continuation from another volume",
    "unknown kind",
]

KINDS: dict[int, Kind] = {
    **dict.fromkeys(b"07\x00", "file"),
    **dict.fromkeys(b"12", "link"),
    **dict.fromkeys(b"34", "device"),
    **dict.fromkeys(b"5D", "folder"),
    ord("6"): "fifo",
    ord("S"): "sparse file",
    ord("V"): "volume label",
    ord("M"): "continuation from another volume",
}


class Header(NamedTuple):
    """The fields of a header that matter here."""

    name: bytes
    flag: int
    """The letter for the kind of the member."""
    size: int
    has_more_map: bool
    """Whether blocks with more of a sparse file's map follow."""


def require_plain(block: bytes) -> None:
    """Raise TarDamaged if the first block is that of an empty or a compressed file."""
    if not block:
        raise TarDamaged("empty file")
    for magic, name in _COMPRESSED.items():
        if block.startswith(magic):
            raise TarDamaged(f"compressed with {name}; decompress it first")


def next_archive(block: bytes) -> Header:
    """Return the first header of an archive that follows the end of another.

    Raises:
        TarDamaged: it is none, so that the members behind it cannot be found.
    """
    if len(block) == BLOCK:
        with suppress(TarDamaged):
            return parsed(block)
    raise TarDamaged("something that is no tar follows its end, and is left out")


def parsed(block: bytes) -> Header:
    """Return the fields of a header block that matter here.

    Raises:
        TarDamaged: its checksum, or a number in it, is wrong.
    """
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:])
    signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
    if _number(block[148:156]) not in (total, signed):  # some systems took bytes as signed
        raise TarDamaged("bad header: its checksum is wrong")
    name, flag = block[:100].partition(b"\0")[0], block[156]
    prefix = block[345:500].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and prefix:  # GNU keeps other things there
        name = prefix + b"/" + name
    return Header(name, flag, _number(block[124:136]), block[482] != 0)


def _number(field: bytes) -> int:
    """Return the number in a header's field: octal digits, or base 256 after a first byte 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.partition(b"\0")[0].strip(b" ")
    if not re.fullmatch(rb"[0-7]*", text):
        raise TarDamaged("bad header: no number where one belongs")
    return int(text or b"0", 8)


def decimal(text: bytes) -> int:
    """Return the number that decimal digits tell, as extended headers have them."""
    if not re.fullmatch(rb"[0-9]{1,19}", text):
        raise TarDamaged("bad header: no number where one belongs")
    return int(text)


def records(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keywords and values of an extended header, whose lines are ``length keyword=value``."""
    start = 0
    while start < len(payload) and payload[start]:
        space = payload.find(b" ", start, start + 20)
        end = start + decimal(payload[start:space] if space > 0 else b"")
        keyword, equals, value = payload[space + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(payload):
            raise TarDamaged("bad header: its records are no lines")
        yield keyword, value[:-1]
        start = end
