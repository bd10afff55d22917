"""Writes tars of which equal content gives equal bytes."""

import tarfile
from typing import BinaryIO

_BLOCK = 512


class TarWriter:
    """Appends members to a tar and tells where their bytes begin."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0

    def add(self, name: str, data: bytes) -> int:
        """Write one member; returns the offset of its first byte."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        offset = self._position + len(header)
        padding = -len(data) % _BLOCK
        self._stream.write(header)
        self._stream.write(data)
        self._stream.write(b"\0" * padding)
        self._position = offset + len(data) + padding
        return offset

    def close(self) -> None:
        """Write the end of the archive; without it the tar is not whole."""
        self._stream.write(b"\0" * (2 * _BLOCK))
