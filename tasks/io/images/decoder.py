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
from tasks.io.images.decoding import decode
from tasks.io.images.formats.jpeg_scans import frame_of
from tasks.io.images.limits import Limits, Wanted

REQUEST = struct.Struct("<QQQ??")
"""Before an image file: max_pixels, max_bytes, the file's size in bytes, and what is wanted."""

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
        max_pixels, max_bytes, size, first_frame, srgb = REQUEST.unpack(head)
        limits = Limits(max_pixels=max_pixels, max_bytes=max_bytes)
        data = requests.read(size)
        if before is not None:
            granted = memory_for(limits, claimed_pixels(data))
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (before + granted, most))
        wanted = Wanted(first_frame=first_frame, srgb=srgb)
        answers.writelines(_answer(data, limits, wanted))
        answers.flush()


def requested(limits: Limits, wanted: Wanted, size: int) -> bytes:
    """Return what stands before an image file of so many bytes."""
    return REQUEST.pack(limits.max_pixels, limits.max_bytes, size, wanted.first_frame, wanted.srgb)


def memory_for(limits: Limits, claimed: int | None) -> int:
    """Return how many bytes decoding may take: 32 a pixel, the file twice, and 128 MiB.

    Of the accepted formats WebP takes most, 23 bytes a pixel, and the others 11 to 17, with
    all copies on the way to RGB. The rest is for tables, text and colour profiles.

    Args:
        limits: on the image.
        claimed: pixels that the file says it has; None where that is not known, and then it may
            have all that the limits admit.
    """
    pixels = limits.max_pixels if claimed is None else min(claimed, limits.max_pixels)
    return BYTES_PER_PIXEL * pixels + 2 * limits.max_bytes + SPARE_BYTES


def claimed_pixels(data: bytes) -> int | None:
    """Return how many pixels a PNG, WebP, BMP or JPEG says it has, at a fixed place or nearly.

    None for any other file, and for one in which that place is not found.
    """
    try:
        return next(read(data) for start, read in _SIZES.items() if data.startswith(start))
    except (StopIteration, struct.error, ValueError, IndexError):
        return None


def _png_pixels(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width * height)


def _bmp_pixels(data: bytes) -> int:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return abs(int(width * height))


def _webp_pixels(data: bytes) -> int | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return (1 + int.from_bytes(data[24:27], "little")) * (
            1 + int.from_bytes(data[27:30], "little")
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (1 + (bits & 0x3FFF)) * (1 + (bits >> 14 & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return int((width & 0x3FFF) * (height & 0x3FFF)) if kind == b"VP8 " else None


def _jpeg_pixels(data: bytes) -> int | None:
    frame = frame_of(data)
    return None if frame is None else frame.width * frame.height


_SIZES = {
    b"\x89PNG": _png_pixels,
    b"BM": _bmp_pixels,
    b"RIFF": _webp_pixels,
    b"\xff\xd8\xff": _jpeg_pixels,
}
"""What finds the number of pixels, by how files begin."""


def mapped_bytes() -> int | None:
    """Return the bytes of address space in use, as RLIMIT_AS counts; None but on Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except FileNotFoundError:
        return None
    return pages * resource.getpagesize()


def _answer(data: bytes, limits: Limits, wanted: Wanted) -> Iterable[bytes | memoryview]:
    """Decode one image; return the pieces of the answer.

    Raises:
        MemoryError: decoding takes more memory than this process may have.
    """
    try:
        return message(decode(data, limits, wanted))
    except ImageRefused as refusal:
        if isinstance(refusal.__cause__, MemoryError):
            raise refusal.__cause__ from None
        reason = str(refusal).encode("utf-8", "backslashreplace")[:LONGEST_REASON]
        return HEAD.pack(0, len(reason)), reason


if __name__ == "__main__":
    main()
