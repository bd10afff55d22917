"""The child process that decodes images for another one: ``python -m tasks.io.images.decoder``.

It answers requests from its standard input until that closes, as it does when the parent
ends. A request is ``REQUEST`` (the limits, and the size of what follows) and an image file.
Answers are described in ``tasks.io.images.answers``; ``READY`` comes before the first.

Of large libraries it imports only NumPy and Pillow, so that it starts in a fifth of a second
and takes little memory.
"""

import os
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from tasks.io.errors import ImageRefused
from tasks.io.images.answers import HEAD, message
from tasks.io.images.files import decode
from tasks.io.images.opening import Limits

REQUEST = struct.Struct("<QQQ")
"""Before an image file: max_pixels, max_bytes, and the file's size in bytes."""

READY = b"\1"
"""What a child that has started writes first."""

LONGEST_REASON = 1 << 12
"""Bytes of a reason; a longer one is cut."""

OUT_OF_MEMORY = 77
"""Exit status of a child that could not get the memory it asked for."""

BYTES_PER_PIXEL, SPARE_BYTES = 32, 1 << 27


def main() -> None:
    """Answer requests until there are no more; exit with OUT_OF_MEMORY where memory ends."""
    try:
        _serve()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _serve() -> None:
    """Answer requests one after the other, with the memory that their limits allow."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = mapped_bytes()
    answers.write(READY)
    answers.flush()
    while head := requests.read(REQUEST.size):
        max_pixels, max_bytes, size = REQUEST.unpack(head)
        limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
        if before is not None:
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (before + memory_for(limits), most))
        answers.writelines(_answer(requests.read(size), limits))
        answers.flush()


def memory_for(limits: Limits) -> int:
    """Return how many bytes decoding may take: 32 a pixel, the file twice, and 128 MiB.

    Of the accepted formats WebP takes most, 23 bytes a pixel, and the others 11 to 17, with
    all copies on the way to RGB. The rest is for tables, text and colour profiles.
    """
    return BYTES_PER_PIXEL * limits.max_pixels + 2 * limits.max_bytes + SPARE_BYTES


def mapped_bytes() -> int | None:
    """Return the bytes of address space in use, as RLIMIT_AS counts; None but on Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except FileNotFoundError:
        return None
    return pages * resource.getpagesize()


def _answer(data: bytes, limits: Limits) -> Iterable[bytes | memoryview]:
    """Decode one image; return the pieces of the answer.

    Raises:
        MemoryError: decoding takes more memory than this process may have.
    """
    try:
        return message(decode(data, limits))
    except ImageRefused as refusal:
        if isinstance(refusal.__cause__, MemoryError):
            raise refusal.__cause__ from None
        reason = str(refusal).encode("utf-8", "backslashreplace")[:LONGEST_REASON]
        return HEAD.pack(0, len(reason)), reason


if __name__ == "__main__":
    main()
