"""PNG written: the difference of each sample from its left neighbour, deflated fast.

Chunks are those of the PNG specification (third edition).
"""

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from tasks.io.images.formats.png import SIGNATURE
from tasks.io.images.raster import EIGHT_BITS, Depth, Metadata, Pixels, Raster
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.levels import bands

_COLOUR_TYPES = {(True, False): 0, (False, False): 2, (True, True): 4, (False, True): 6}
"""By whether an image is grey, and whether it has alpha."""

_SUB = 1
_LEVEL, _MEMORY = 1, 9
_ROWS_AT_ONCE = 64
_LARGEST_CHUNK = 1 << 20
_METRES_PER_INCH = 0.0254


def write_png(raster: Raster, depth: Depth, _: Form) -> bytes:
    """Return an image as PNG of 8 or 16 bits."""
    kind = _COLOUR_TYPES[raster.is_grey, raster.alpha is not None]
    bits = depth.itemsize * 8
    size = struct.pack(">LLBBBBB", raster.width, raster.height, bits, kind, 0, 0, 0)
    pieces = [SIGNATURE, _chunk(b"IHDR", size), *_beside(raster.metadata)]
    pieces += [_chunk(b"IDAT", data) for data in _deflated(raster, depth)]
    return b"".join([*pieces, _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", checksum)


def _beside(said: Metadata) -> Iterator[bytes]:
    """Yield the chunks of what an image says beside its pixels."""
    if said.icc:
        yield _chunk(b"iCCP", b"icc\0\0" + zlib.compress(said.icc))
    if said.resolution is not None:
        across, down = (round(value / _METRES_PER_INCH) for value in said.resolution)
        yield _chunk(b"pHYs", struct.pack(">LLB", across, down, 1))
    if said.exif:
        yield _chunk(b"eXIf", said.exif)
    if said.xmp:
        yield _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said.xmp)


def _deflated(raster: Raster, depth: Depth) -> Iterator[bytes]:
    """Yield the compressed rows of an image, in pieces of a chunk."""
    strategy = zlib.Z_FILTERED if depth == EIGHT_BITS else zlib.Z_RLE
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS, _MEMORY, strategy)
    filtered = (_filtered(band) for band in bands(raster, depth, _ROWS_AT_ONCE))
    pieces: Iterable[bytes] = (press.compress(rows) for rows in filtered)
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= _LARGEST_CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting) + press.flush()


def _filtered(band: Pixels) -> bytes:
    """Return rows as bytes, each the difference from that of the pixel to the left."""
    step = band.itemsize * (band.shape[2] if band.ndim == 3 else 1)
    rows = band.astype(band.dtype.newbyteorder(">")).reshape(len(band), -1).view(np.uint8)
    found = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    found[:, 0] = _SUB
    found[:, 1 : step + 1] = rows[:, :step]
    np.subtract(rows[:, step:], rows[:, :-step], out=found[:, step + 1 :])
    return found.tobytes()
