"""The samples of a TIFF read piece by piece, where Pillow would not give them as they are.

Strips or tiles are unpacked, their predictor undone, and put in their place, one after the other.
"""

import lzma
import zlib
from collections.abc import Iterator
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.io.images.formats.loaded import Samples
from tasks.io.images.formats.tiff_layout import DEFLATE, LZMA, LZW, PACKBITS, UNPACKED, Layout
from tasks.io.images.metadata.tags import Directory

_WIDTH, _HEIGHT, _STRIPS, _ROWS, _STRIP_SIZES = 256, 257, 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325

_ROWS_AT_ONCE = 64
"""Rows whose numbers are made at once, to need little memory."""

_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3
"""Predictors: differences of numbers, and of the bytes of floating-point ones."""


class Grid(NamedTuple):
    """How the pixels of a TIFF are cut into strips or tiles."""

    width: int
    height: int
    across: int
    """Width of a strip or tile."""
    down: int
    is_tiled: bool
    planes: int
    row_bytes: int
    """Bytes of a row of one of them, unpacked."""

    @classmethod
    def of(cls, directory: Directory, layout: Layout) -> "Grid":
        """Return what the tags say.

        Raises:
            ValueError: they say no size, or tiles of an odd one.
        """
        width, height = directory.number(_WIDTH, 0), directory.number(_HEIGHT, 0)
        is_tiled = not directory.numbers(_STRIPS)
        across = directory.number(_TILE_WIDTH, 0) if is_tiled else width
        down = directory.number(_TILE_HEIGHT, 0) if is_tiled else directory.number(_ROWS, height)
        if is_tiled and (across % 16 or down % 16):
            raise ValueError(f"its tiles must have sides of a multiple of 16, got {across}×{down}")
        if across < 1 or down < 1:
            raise ValueError("its strips or tiles must have a size")
        planes, channels = (layout.samples, 1) if layout.is_planar else (1, layout.samples)
        row_bytes = ceil(across * channels * layout.depth / 8)
        return cls(width, height, across, down, is_tiled, planes, row_bytes)

    @property
    def columns(self) -> int:
        """How many strips or tiles stand beside each other."""
        return ceil(self.width / self.across)

    @property
    def rows(self) -> int:
        """How many stand below each other."""
        return ceil(self.height / self.down)

    def rows_in(self, row: int) -> int:
        """Return how many rows of pixels a strip or tile has that is in a row of them."""
        is_cut = row == self.rows - 1 and not self.is_tiled
        return self.height - row * self.down if is_cut else self.down

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Yield plane, first row and first column of each strip or tile, in their order."""
        for plane in range(self.planes):
            for row in range(self.rows):
                for column in range(self.columns):
                    yield plane, row * self.down, column * self.across


class Piece(NamedTuple):
    """A strip or tile as it lies in the file, and the bytes that it unpacks to."""

    data: bytes
    need: int


def pieces_of(directory: Directory, layout: Layout, grid: Grid) -> list[Piece]:
    """Return all strips or tiles.

    Raises:
        ValueError: some are missing, or outside of the file.
    """
    needs = [
        grid.row_bytes * grid.rows_in(row) for row in range(grid.rows) for _ in range(grid.columns)
    ] * grid.planes
    for tags in ((_STRIPS, _TILES), (_STRIP_SIZES, _TILE_SIZES)):
        count = len(directory.numbers(tags[grid.is_tiled]))
        is_unsaid = count == 0 and tags[0] == _STRIP_SIZES and layout.compression == UNPACKED
        if count != len(needs) and not is_unsaid:
            raise ValueError(f"it must have {len(needs)} strips or tiles, got {count}")
    offsets = directory.numbers(_STRIPS) or directory.numbers(_TILES)
    sizes = directory.numbers(_STRIP_SIZES) or directory.numbers(_TILE_SIZES) or needs
    return [
        _piece(directory.data, offset, size, need, is_packed=layout.compression != UNPACKED)
        for offset, size, need in zip(offsets, sizes, needs, strict=True)
    ]


def _piece(data: bytes, offset: int, size: int, need: int, *, is_packed: bool) -> Piece:
    if offset < 8 or size < (1 if is_packed else need):
        raise ValueError("one of its strips or tiles has no data, or too few")
    length = size if is_packed else need
    if offset + length > len(data):
        raise ValueError("one of its strips or tiles lies outside of the file")
    return Piece(data[offset : offset + length], need)


def samples_of(directory: Directory, layout: Layout, grid: Grid) -> Samples:
    """Return the samples (h, w) or (h, w, c) of a TIFF of 8 bits or more, extra ones too.

    Args:
        directory: its tags.
        layout: of its samples.
        grid: of its strips or tiles.

    Returns:
        Numbers of 8 or 16 bits, of as many bits as the file's, or floating-point ones.

    Raises:
        Exception: the data are damaged.
    """
    pieces = pieces_of(directory, layout, grid)
    most = max(piece.need for piece in pieces)
    kind = _kind(layout).newbyteorder("=")
    whole = np.empty((grid.height, grid.width, layout.samples), kind)
    for piece, (plane, top, left) in zip(pieces, grid.places(), strict=True):
        unpacked = _unpacked(piece, layout.compression, most)
        rows = np.frombuffer(unpacked, np.uint8, piece.need).reshape(-1, grid.row_bytes)
        channels = slice(plane, plane + 1) if layout.is_planar else slice(None)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            band = rows[start : start + _ROWS_AT_ONCE]
            shape = (len(band), grid.across, 1 if layout.is_planar else layout.samples)
            numbers = _numbers(band, shape, layout, directory.order)
            place = whole[top + start : top + start + len(band), left : left + grid.across]
            place[..., channels] = numbers[: place.shape[0], : place.shape[1]]
    return whole[..., 0] if layout.samples == 1 else whole


def _kind(layout: Layout) -> np.dtype[np.generic]:
    """Return the type of the numbers of a layout."""
    if layout.is_float:
        return np.dtype(f"f{layout.depth // 8}")
    return np.dtype(np.uint8 if layout.depth == 8 else np.uint16)


def _unpacked(piece: Piece, compression: int, most_bytes: int) -> bytes:
    """Return the data of a strip or tile unpacked: as many bytes as it needs, or more.

    Args:
        piece: of the file.
        compression: by which it is packed.
        most_bytes: what it may unpack to.

    Raises:
        Exception: it is damaged, or unpacks to fewer or more.
    """
    data = piece.data
    if compression == UNPACKED:
        return data
    if compression in DEFLATE or compression == LZMA:
        unpacker = lzma.LZMADecompressor() if compression == LZMA else zlib.decompressobj()
        unpacked = unpacker.decompress(data, most_bytes + 1)
        if not unpacker.eof:
            raise ValueError("the data of one of its strips or tiles go on behind its pixels")
    else:
        unpacked = _by_imagecodecs(data, compression, most_bytes)
    if len(unpacked) < piece.need:
        raise ValueError("one of its strips or tiles has too few data")
    return unpacked


def _by_imagecodecs(data: bytes, compression: int, most_bytes: int) -> bytes:
    """Return data unpacked by LZW, PackBits or Zstandard; at most so many bytes."""
    from imagecodecs import lzw_decode, packbits_decode, zstd_decode

    if compression == LZW:
        return bytes(lzw_decode(data, buffersize=most_bytes))[:most_bytes]
    decode = packbits_decode if compression == PACKBITS else zstd_decode
    return bytes(decode(data, out=most_bytes))


def _numbers(
    rows: NDArray[np.uint8], shape: tuple[int, int, int], layout: Layout, order: Literal["<", ">"]
) -> Samples:
    """Return the numbers that the bytes of rows stand for, the predictor undone."""
    if layout.predictor == _FLOAT_DIFFERENCES:
        return _undone_in_floats(rows, shape, layout.depth // 8)
    if layout.depth == 12:
        return _of_twelve_bits(rows)[:, : shape[1] * shape[2]].reshape(shape)
    numbers = rows.reshape(-1).view(_kind(layout).newbyteorder(order)).reshape(shape)
    if layout.predictor != _DIFFERENCES:
        return numbers
    native = numbers.astype(numbers.dtype.newbyteorder("="))
    return np.cumsum(native, axis=1, dtype=native.dtype)


def _undone_in_floats(rows: NDArray[np.uint8], shape: tuple[int, int, int], size: int) -> Samples:
    """Return floating-point numbers from differences of their bytes, the highest of all first."""
    height, width, channels = shape
    steps = rows.reshape(height, -1, channels)
    summed = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(height, size, width * channels)
    return np.ascontiguousarray(summed.transpose(0, 2, 1)).view(f">f{size}").reshape(shape)


def _of_twelve_bits(rows: NDArray[np.uint8]) -> Samples:
    """Return the numbers of rows, of which two stand in three bytes."""
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 3)))
    first, middle, last = (padded[:, start::3].astype(np.uint16) for start in range(3))
    pairs = np.stack([first << 4 | middle >> 4, (middle & 15) << 8 | last], axis=-1)
    return pairs.reshape(len(rows), -1)
