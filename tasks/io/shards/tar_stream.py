"""A reader of foreign tars: the members of a stream, one by one, in bounded memory.

Python's tarfile takes extended headers and maps of sparse files of any size into memory,
follows chains of headers by recursion and remembers every member. Here at most one
extended header of a mebibyte is held. USTAR, PAX, GNU and old tars are read; nothing is
unpacked, and no link is followed.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

from tasks.io.errors import TarDamaged

BLOCK = 512
"""Bytes of a tar's blocks: of headers, and what contents are padded to."""

LARGEST_HEADER = 1 << 20
"""Bytes that an extended header may have, which holds a name and what systems add to it."""

_CHUNK = 1 << 20
_ZEROS = bytes(BLOCK)
_EXTENDED = b"xXgLK"
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}

Kind = Literal["file", "folder", "link", "device", "fifo", "sparse file", "unknown kind"]

_KINDS: dict[int, Kind] = {
    **dict.fromkeys(b"07\x00", "file"),
    **dict.fromkeys(b"12", "link"),
    **dict.fromkeys(b"34", "device"),
    ord("5"): "folder",
    ord("6"): "fifo",
    ord("S"): "sparse file",
}
_WITHOUT_DATA = ("link", "device", "folder", "fifo")


class Entry(NamedTuple):
    """A member of a tar, as its headers tell it."""

    number: int
    """The member's turn in the tar, from 1 on."""
    name: str
    """Bytes that are no UTF-8 stand in it as surrogates."""
    kind: Kind
    size: int
    """Bytes of content."""
    complaint: str | None = None
    """Why the member is to be refused, if its headers are reason enough."""


class _Header(NamedTuple):
    """The fields of a header that matter here."""

    name: bytes
    flag: int
    """The letter for the kind of the member."""
    size: int
    has_more_map: bool
    """Whether blocks with more of a sparse file's map follow."""


class _Extension(NamedTuple):
    """What extended headers say of the member that follows them."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False
    complaint: str | None = None


class TarBlocks:
    """The members of a tar, to be iterated over once; ``read`` gives the bytes of the last one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = 0  # bytes before the next header
        self.members = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield all members in order.

        Raises:
            TarDamaged: the stream ends before the tar does, or is no tar.
        """
        extension = _Extension()
        while (header := self._header()) is not None:
            self._ahead = _padded(header.size)
            if header.flag in _EXTENDED:
                extension = self._extended(header, extension)
                continue
            yield self._entry(header, extension)
            extension = _Extension()

    def read(self, entry: Entry) -> bytes:
        """Return the content of the member that came last; only once for each member.

        Raises:
            TarDamaged: the stream ends before the content does.
        """
        data = self._exactly(entry.size)
        self._ahead -= entry.size
        return data

    def _header(self) -> _Header | None:
        """Return the next header; None at the end of the archive.

        Raises:
            TarDamaged: there is neither.
        """
        self._skip()
        block = self._up_to(BLOCK)
        if block == _ZEROS:
            if self._up_to(BLOCK).strip(b"\0"):
                raise TarDamaged("a block of zeros where a header belongs")
            return None
        if self.members == 0:
            _require_plain(block)
        if len(block) < BLOCK:
            raise TarDamaged("no mark of its end: it may be cut short")
        return _parsed(block)

    def _extended(self, header: _Header, extension: _Extension) -> _Extension:
        """Return an extension with what one more extended header says.

        Global headers and names of links' targets are skipped, as nothing here needs them.
        """
        if header.flag in b"gK":
            return extension
        if header.size > LARGEST_HEADER:
            complaint = f"header too large: {header.size} bytes, limit {LARGEST_HEADER}"
            return extension._replace(complaint=complaint)
        payload = self._exactly(header.size)
        self._ahead -= header.size
        if header.flag == ord("L"):
            return extension._replace(name=payload.partition(b"\0")[0])
        for keyword, value in _records(payload):
            if keyword == b"path":
                extension = extension._replace(name=value)
            elif keyword == b"size":
                extension = extension._replace(size=_decimal(value))
            elif keyword.startswith((b"GNU.sparse.", b"SCHILY.realsize")):
                extension = extension._replace(is_sparse=True)
        return extension

    def _entry(self, header: _Header, extension: _Extension) -> Entry:
        self.members += 1
        name = header.name if extension.name is None else extension.name
        kind = _KINDS.get(header.flag, "unknown kind")
        if header.flag == 0 and name.endswith(b"/"):  # before there was a letter for them
            kind = "folder"
        if kind == "file" and extension.is_sparse:
            kind = "sparse file"
        size = header.size if extension.size is None else extension.size
        if kind in _WITHOUT_DATA:
            size = 0
        has_more_map = header.flag == ord("S") and header.has_more_map
        while has_more_map:
            has_more_map = self._exactly(BLOCK)[504] != 0
        self._ahead = _padded(size)
        text = name.decode("utf-8", "surrogateescape")
        return Entry(self.members, text, kind, size, extension.complaint)

    def _skip(self) -> None:
        while self._ahead:
            self._ahead -= len(self._exactly(min(_CHUNK, self._ahead)))

    def _exactly(self, size: int) -> bytes:
        data = self._up_to(size)
        if len(data) < size:
            raise TarDamaged("cut short within a member")
        return data

    def _up_to(self, size: int) -> bytes:
        """Return as many bytes, or fewer at the stream's end.

        Memory is taken as bytes come, so a header that lies about a size costs nothing.
        """
        parts: list[bytes] = []
        while size and (part := self._stream.read(min(_CHUNK, size))):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _require_plain(block: bytes) -> None:
    """Raise TarDamaged if the first block is that of an empty or a compressed file."""
    if not block:
        raise TarDamaged("empty file")
    for magic, name in _COMPRESSED.items():
        if block.startswith(magic):
            raise TarDamaged(f"compressed with {name}; decompress it first")


def _parsed(block: bytes) -> _Header:
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
    return _Header(name, flag, _number(block[124:136]), block[482] != 0)


def _number(field: bytes) -> int:
    """Return the number in a header's field: octal digits, or base 256 after a first byte 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.partition(b"\0")[0].strip(b" ")
    if not re.fullmatch(rb"[0-7]*", text):
        raise TarDamaged("bad header: no number where one belongs")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if not re.fullmatch(rb"[0-9]{1,19}", text):
        raise TarDamaged("bad header: no number where one belongs")
    return int(text)


def _records(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keywords and values of an extended header, whose lines are ``length keyword=value``."""
    start = 0
    while start < len(payload) and payload[start]:
        space = payload.find(b" ", start, start + 20)
        end = start + _decimal(payload[start:space] if space > 0 else b"")
        keyword, equals, value = payload[space + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(payload):
            raise TarDamaged("bad header: its records are no lines")
        yield keyword, value[:-1]
        start = end
