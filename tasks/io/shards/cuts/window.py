"""A tar's headers, read without its contents: a window that moves over a file by ranges."""

from tasks.io.store.ranges import Fetch

NEAR = 1 << 18
"""Bytes up to which contents are read along: a request takes as long as some hundred kilobytes."""

SMALL = 1 << 13
"""Bytes of a request for a single header, with small members (a caption, a class) behind it."""

LARGE = 1 << 22
"""Bytes of a request where headers lie near each other."""


class Window:
    """A reader of a file that can skip, and asks for as little as makes few requests.

    Args:
        fetch: gives the file's bytes from a start to before an end, none behind the file's.
        start: where it begins to read.
        size: of the file in bytes.
    """

    def __init__(self, fetch: Fetch, start: int, size: int) -> None:
        self._fetch, self._at, self._size = fetch, start, size
        self._first, self._data = start, memoryview(b"")
        self._is_new = True

    def skip(self, size: int) -> None:
        """Move on by so many bytes, which may lead behind the file's end."""
        self._at += size

    def read(self, size: int, /) -> bytes:
        """Return as many bytes, or fewer; none only at the file's end."""
        if not self._first <= self._at < self._first + len(self._data):
            self._move(size)
        start = self._at - self._first
        found = bytes(self._data[start : start + size])
        self._at += len(found)
        return found

    def _move(self, size: int) -> None:
        """Fetch what lies from here on: much of it where the last header was near."""
        gap = self._at - (self._first + len(self._data))
        wanted = SMALL if self._is_new or gap > NEAR else LARGE
        end = min(self._at + max(size, wanted), self._size)
        data = self._fetch(self._at, end) if self._at < end else b""
        self._first, self._data, self._is_new = self._at, memoryview(data), False
