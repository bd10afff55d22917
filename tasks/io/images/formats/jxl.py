"""The pixels of a JPEG XL, of 8 to 16 bits or floating-point ones, and what it says beside them.

What begins a codestream (ISO/IEC 18181-1, annexes A and D) is read here: a decoder tells neither
the size before it has taken the memory for it, nor the bits of a sample.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tasks.io.errors import ImageRefused
from tasks.io.images.formats.loaded import Loaded, Samples, of_samples, require_unit_range
from tasks.io.images.limits import SEVERAL_FRAMES, Limits, Wanted
from tasks.io.images.raster import Metadata

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, where a header gives one of a few."""

_MOST_BOXES = 1000
_MOST_UNPACKED = 1 << 20
"""Bytes of a packed box of metadata."""

_OUTSIDE = 1e-3
"""How far a floating-point number may lie outside of [0, 1], to be taken for its end: what a
lossy file has there."""


class Header(NamedTuple):
    """What a codestream says of its image, as it is stored."""

    width: int
    height: int
    is_animated: bool = False
    is_float: bool = False
    bits: int = 8
    is_turned: bool = False

    @classmethod
    def of(cls, codestream: bytes) -> "Header":
        """Return what the first bits say.

        Raises:
            ValueError: there are too few of them.
        """
        bits = _Bits(codestream[len(CODESTREAM) :])
        width, height = _size(bits)
        if bits.take(1):  # all as by default
            return cls(width, height)
        is_turned = is_animated = False
        if bits.take(1):
            is_turned = bits.take(3) >= 4
            if bits.take(1):
                _size(bits)  # as which it should be shown
            if bits.take(1):
                _preview(bits)
            is_animated = bool(bits.take(1))
            if is_animated:
                _animation(bits)
        is_float = bool(bits.take(1))
        deep = bits.choose((32, 0), (16, 0), (24, 0), (1, 6)) if is_float else None
        depth = deep or bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
        return cls(width, height, is_animated, is_float, depth, is_turned)


def is_jxl(data: bytes) -> bool:
    """Whether a file begins as a JPEG XL does."""
    return data.startswith((CODESTREAM, CONTAINER))


def load(data: bytes, limits: Limits, wanted: Wanted) -> Loaded:
    """Return the pixels of a JPEG XL, upright.

    Raises:
        ImageRefused: what reads it is not here, the size is excluded, or there are several frames.
        Exception: libjxl cannot decode it.
    """
    try:
        from imagecodecs import jpegxl_decode
        from pillow_jxl import Decoder
    except ImportError as error:
        raise ImageRefused(
            "JPEG XL is read where the extra `jxl` is installed (pip install 'dot-pipeline[jxl]')"
        ) from error
    boxes = list(_boxes(data))
    header = Header.of(_codestream(data, boxes))
    limits.require_size(header.width, header.height)
    if header.is_animated and not wanted.first_frame:
        raise ImageRefused(SEVERAL_FRAMES)
    icc = bytes(Decoder(num_threads=1)(data)[3] or b"")  # imagecodecs gives no profile
    samples = jpegxl_decode(data, 0 if header.is_animated else None, numthreads=1)
    upright = (header.width, header.height) if header.is_turned else (header.height, header.width)
    if samples.shape[:2] != upright:
        raise ValueError(f"it has pixels {samples.shape}, and says {upright}")
    loaded = of_samples(_in_range(samples), 32 if header.is_float else header.bits, is_upright=True)
    return loaded._replace(metadata=_metadata(boxes, icc))


def _in_range(samples: Samples) -> Samples:
    """Return samples as they are, and floating-point ones of 32 bits, in [0, 1]."""
    if samples.dtype.kind != "f":
        return samples
    wide = samples.astype(np.float32)
    require_unit_range(float(wide.min()), float(wide.max()), _OUTSIDE)
    return wide.clip(0, 1)


def _metadata(boxes: list[tuple[bytes, bytes]], icc: bytes) -> Metadata:
    """Return what the boxes hold, packed ones too."""
    said = dict(map(_unpacked, reversed(boxes)))  # the first of a kind counts
    exif = said.get(b"Exif", b"")
    if len(exif) > 4 and not exif.startswith((b"II*\0", b"MM\0*")):  # some leave out the offset
        (skipped,) = struct.unpack_from(">L", exif)
        exif = exif[4 + skipped :]
    return Metadata(icc=icc, exif=exif, xmp=said.get(b"xml ", b""))


def _unpacked(box: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a box of metadata that Brotli has packed as it was before; empty if it is damaged."""
    from imagecodecs import brotli_decode

    kind, content = box
    if kind != b"brob" or content[:4] not in (b"Exif", b"xml "):
        return box
    try:
        return content[:4], bytes(brotli_decode(content[4:], out=_MOST_UNPACKED))
    except RuntimeError:
        return content[:4], b""


def _codestream(data: bytes, boxes: list[tuple[bytes, bytes]]) -> bytes:
    """Return the beginning of a file's codestream."""
    if data.startswith(CODESTREAM):
        return data
    for kind, content in boxes:
        if kind in (b"jxlc", b"jxlp"):
            codestream = content if kind == b"jxlc" else content[4:]
            if codestream.startswith(CODESTREAM):
                return codestream
    raise ValueError("it has no codestream")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes of a container; none of a bare codestream."""
    place, count = 0, 0
    while data.startswith(CONTAINER) and place + 8 <= len(data) and count < _MOST_BOXES:
        size, kind = struct.unpack_from(">L4s", data, place)
        start = place + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if size == 0 else place + size
        if end < start:
            return
        yield kind, data[start:end]
        place, count = end, count + 1


class _Bits:
    """Bits of a codestream, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data[:64], "little"), 8 * len(data[:64])

    def take(self, count: int) -> int:
        """Return the number that the next bits are.

        Raises:
            ValueError: there are too few.
        """
        if count > self._left:
            raise ValueError("its header is cut")
        taken = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return taken

    def choose(self, *ways: tuple[int, int]) -> int:
        """Return a number that is given in one of four ways: a start, and bits to be added."""
        start, count = ways[self.take(2)]
        return start + self.take(count)


def _size(bits: _Bits) -> tuple[int, int]:
    ways = ((1, 9), (1, 13), (1, 18), (1, 30))
    is_small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if is_small else bits.choose(*ways)
    ratio = bits.take(3)
    if ratio:
        return _wide(height, ratio), height
    return (8 * (bits.take(5) + 1) if is_small else bits.choose(*ways)), height


def _preview(bits: _Bits) -> None:
    ways = (((16, 0), (32, 0), (1, 5), (33, 9)), ((1, 6), (65, 8), (321, 10), (1345, 12)))
    way = ways[0] if bits.take(1) else ways[1]
    bits.choose(*way)
    if not bits.take(3):
        bits.choose(*way)


def _animation(bits: _Bits) -> None:
    bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
    bits.take(1)


def _wide(height: int, ratio: int) -> int:
    across, down = _RATIOS[ratio - 1]
    return height * across // down
