"""BMP written, for images that came as one: with alpha and profile where they had some."""

import struct

import numpy as np

from tasks.io.images.raster import Depth, Raster
from tasks.io.images.writers.form import Form
from tasks.io.images.writers.levels import samples

_FILE_BYTES, _HEADER_BYTES, _PALETTE_BYTES = 14, 124, 1024
_BIT_FIELDS, _PROFILE_EMBEDDED, _SRGB, _IMAGES = 3, b"DEBM", b"BGRs", 4
_INCHES_PER_METRE = 1 / 0.0254


def write_bmp(raster: Raster, _: Depth, __: Form) -> bytes:
    """Return an image as BMP with the header of version 5."""
    levels = samples(raster, np.dtype(np.uint8))
    bits = 8 * (levels.shape[2] if levels.ndim == 3 else 1)
    rows = _rows(levels)
    palette = bytes(level if place < 3 else 0 for level in range(256) for place in range(4))
    palette = palette if bits == 8 else b""
    icc, start = raster.metadata.icc, _FILE_BYTES + _HEADER_BYTES + len(palette)
    across, down = (round(v * _INCHES_PER_METRE) for v in raster.metadata.resolution or (0, 0))
    header = struct.pack(
        "<LllHHLLllLL4L4s36x12xLLLL",
        *(_HEADER_BYTES, raster.width, raster.height, 1, bits),
        *(_BIT_FIELDS if bits == 32 else 0, len(rows), across, down),
        *(len(palette) // 4, 0),
        *((0xFF0000, 0xFF00, 0xFF, 0xFF000000) if bits == 32 else (0, 0, 0, 0)),
        _PROFILE_EMBEDDED if icc else _SRGB,
        *(_IMAGES, start - _FILE_BYTES + len(rows) if icc else 0, len(icc), 0),
    )
    size = start + len(rows) + len(icc)
    return struct.pack("<2sLHHL", b"BM", size, 0, 0, start) + header + palette + rows + icc


def _rows(levels: np.ndarray) -> bytes:
    """Return rows from the lowest to the highest, each a multiple of four bytes."""
    upwards = levels[::-1]
    if levels.ndim == 3:
        order = [2, 1, 0, 3][: levels.shape[2]]
        upwards = upwards[..., order]
    flat = upwards.reshape(len(levels), -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).tobytes()
