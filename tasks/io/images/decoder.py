"""The child process that decodes images for another one: ``python -m tasks.io.images.decoder``.

It answers requests from its standard input until that ends, with its parent if need be.
A request is ``REQUEST`` (the limits, and how many bytes follow) and an image file; an
answer is ``ANSWER`` and either the pixels (their height and width), or the reason why the
image is refused (zero, and how many bytes it has). ``READY`` comes before the first answer.

It imports nothing but NumPy and Pillow, so that it is there in a fifth of a second, and
small.
"""

import os
import resource
import struct
import sys
from pathlib import Path

import numpy as np

from tasks.io.errors import ImageRefused
from tasks.io.images.files import Limits, decode

REQUEST = struct.Struct("<QQQ")
ANSWER = struct.Struct("<QQ")
READY = b"\1"

LONGEST_REASON = 1 << 12
"""Bytes of a reason, which is cut there."""

OUT_OF_MEMORY = 77
"""Exit status of a child that was refused memory."""

BYTES_PER_PIXEL, SPARE_BYTES = 32, 1 << 27


def main() -> None:
    """Decode images until the requests end, or memory does."""
    try:
        _serve()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _serve() -> None:
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
    """Bytes that decoding may take: 32 for a pixel, the file twice, and 128 MiB.

    Of the accepted images WebP takes the most, 23 bytes a pixel, and others 11 to 17, with
    all the copies on the way to RGB. What is spare is for tables, text and colour profiles.
    """
    return BYTES_PER_PIXEL * limits.max_pixels + 2 * limits.max_bytes + SPARE_BYTES


def mapped_bytes() -> int | None:
    """The address space in use, which RLIMIT_AS counts; None where only Linux would know."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except FileNotFoundError:
        return None
    return pages * resource.getpagesize()


def _answer(data: bytes, limits: Limits) -> tuple[bytes, bytes | memoryview]:
    try:
        pixels = np.ascontiguousarray(decode(data, limits))
    except ImageRefused as refusal:
        if isinstance(refusal.__cause__, MemoryError):
            raise refusal.__cause__ from None
        reason = str(refusal).encode("utf-8", "backslashreplace")[:LONGEST_REASON]
        return ANSWER.pack(0, len(reason)), reason
    return ANSWER.pack(*pixels.shape[:2]), pixels.data


if __name__ == "__main__":
    main()
