"""A reader of foreign tars: the members of a stream, one by one, in bounded memory.

Python's tarfile takes extended headers and maps of sparse files of any size into memory,
follows chains of headers by recursion and remembers every member. Here at most one
extended header of a mebibyte is held. USTAR, PAX, GNU and old tars are read, and several of
them in a row, as ``cat a.tar b.tar`` gives them; nothing is unpacked, and no link is followed.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from tasks.io.errors import TarDamaged
from tasks.io.shards.tar_headers import (
    BLOCK,
    KINDS,
    LARGEST_HEADER,
    Header,
    Kind,
    decimal,
    next_archive,
    parsed,
    records,
    require_plain,
)

_CHUNK = 1 << 20
_EXTENDED = b"xXgLK"
_LISTING = ord("D")
"""The letter of a folder in GNU's incremental archives, whose content lists names."""

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


class _Extension(NamedTuple):
    """What extended headers say of the member that follows them."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False
    complaint: str | None = None


class Readable(Protocol):
    """A stream as far as a tar needs it."""

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, or fewer; none only at its end."""


class TarBlocks:
    """The members of a tar, to be iterated over once; ``read`` gives the bytes of the last one.

    The end of an archive is not the end of the members: one that follows it is read as well.

    Args:
        stream: the tar, or a part of it that begins with a member's first header.
        members: how many come before the part.
        offset: of the part's first byte in the tar.
        is_cut: whether the tar goes on behind the stream's end, where another member begins.
        skip: moves the stream on by so many bytes; without it they are read.
    """

    def __init__(
        self,
        stream: Readable,
        members: int = 0,
        offset: int = 0,
        *,
        is_cut: bool = False,
        skip: Callable[[int], None] | None = None,
    ) -> None:
        self._stream, self._is_cut, self._jump = stream, is_cut, skip
        self._at = offset
        self._ahead = 0  # bytes before the next header
        self._extension = _Extension()  # of the member that comes next
        self._began: int | None = None  # where the first of its extended headers begins
        self.members = members
        self.start = self.content = offset
        """Where the last member's first header begins in the tar, and where its content does."""

    def __iter__(self) -> Iterator[Entry]:
        """Yield all members in order.

        Raises:
            TarDamaged: the stream ends before the tar does, or is no tar.
        """
        while (header := self._header()) is not None:
            self._ahead = _padded(header.size)
            self.start = self._at - BLOCK if self._began is None else self._began
            if header.flag in _EXTENDED:
                self._began = self.start
                self._extension = self._extended(header, self._extension)
                continue
            extension, self._extension, self._began = self._extension, _Extension(), None
            yield self._entry(header, extension)

    def read(self, entry: Entry) -> bytes:
        """Return the content of the member that came last; only once for each member.

        Raises:
            TarDamaged: the stream ends before the content does.
        """
        data = self._exactly(entry.size)
        self._ahead -= entry.size
        return data

    def _header(self) -> Header | None:
        """Return the next header, of this archive or of one that follows; None if none comes.

        Raises:
            TarDamaged: there is something else.
        """
        self._skip()
        block, has_ended = self._up_to(BLOCK), False
        while block and not block.strip(b"\0"):
            block, has_ended = self._up_to(BLOCK), True
        if has_ended:
            self._extension, self._began = _Extension(), None
            return next_archive(block) if block else None
        if self._is_cut and not block:
            return None
        if self.members == 0:
            require_plain(block)
        if len(block) < BLOCK:
            raise TarDamaged("no mark of its end: it may be cut short")
        return parsed(block)

    def _extended(self, header: Header, extension: _Extension) -> _Extension:
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
        for keyword, value in records(payload):
            if keyword == b"path":
                extension = extension._replace(name=value)
            elif keyword == b"size":
                extension = extension._replace(size=decimal(value))
            elif keyword.startswith((b"GNU.sparse.", b"SCHILY.realsize")):
                extension = extension._replace(is_sparse=True)
        return extension

    def _entry(self, header: Header, extension: _Extension) -> Entry:
        self.members += 1
        name = header.name if extension.name is None else extension.name
        kind = KINDS.get(header.flag, "unknown kind")
        if header.flag == 0 and name.endswith(b"/"):  # before there was a letter for them
            kind = "folder"
        if kind == "file" and extension.is_sparse:
            kind = "sparse file"
        size = header.size if extension.size is None else extension.size
        if kind in _WITHOUT_DATA and header.flag != _LISTING:
            size = 0
        has_more_map = header.flag == ord("S") and header.has_more_map
        while has_more_map:
            has_more_map = self._exactly(BLOCK)[504] != 0
        self._ahead, self.content = _padded(size), self._at
        text = name.decode("utf-8", "surrogateescape")
        return Entry(self.members, text, kind, size, extension.complaint)

    def _skip(self) -> None:
        if self._jump is not None:
            self._jump(self._ahead)
            self._at, self._ahead = self._at + self._ahead, 0
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
            self._at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
