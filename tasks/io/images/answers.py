"""What a decoding child answers: the reason of a refusal, or an image in pieces of known size.

A refusal is ``HEAD`` (zero, and the size of what follows) and the reason. An image is ``HEAD``
(height and width), ``DESCRIPTION``, the pixels, alpha where there is some, and the metadata.
"""

import math
import struct
from collections.abc import Iterator
from typing import NamedTuple, get_args

import numpy as np

from tasks.io.images.raster import Depth, FileFormat, Metadata, Raster

HEAD = struct.Struct("<QQ")
"""Height and width of an image; or zero, and the size of a reason in bytes."""

DESCRIPTION = struct.Struct("<c?? BB 4Q 2d")
"""Kind of the numbers, whether there is alpha, whether the image is grey; file format and bits;
sizes of profile, Exif, XMP and remark in bytes; resolution, NaN without one."""

_TYPES: dict[bytes, Depth] = {
    b"B": np.dtype(np.uint8),
    b"H": np.dtype(np.uint16),
    b"f": np.dtype(np.float32),
}
_FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
_NOT_KNOWN = (math.nan, math.nan)


class Description(NamedTuple):
    """What is known of an image before its pixels come."""

    height: int
    width: int
    raster: Raster
    """The image, its pixels and alpha not filled in."""
    sizes: tuple[int, int, int, int]
    """Bytes of profile, Exif, XMP and remark, which come last."""

    @property
    def bytes_of_metadata(self) -> int:
        """Bytes that come behind pixels and alpha."""
        return sum(self.sizes)


def message(raster: Raster) -> Iterator[bytes | memoryview]:
    """Yield the pieces of an answer that holds an image."""
    said, remark = raster.metadata, raster.remark.encode()
    letter = next(letter for letter, depth in _TYPES.items() if depth == raster.depth)
    yield HEAD.pack(raster.height, raster.width)
    yield DESCRIPTION.pack(
        letter,
        raster.alpha is not None,
        raster.is_grey,
        _FILE_FORMATS.index(raster.file_format),
        raster.bits,
        *(len(part) for part in (said.icc, said.exif, said.xmp, remark)),
        *(said.resolution or _NOT_KNOWN),
    )
    for plane in (raster.pixels, raster.alpha):
        if plane is not None:
            yield np.ascontiguousarray(plane).data.cast("B")
    yield from (said.icc, said.exif, said.xmp, remark)


def described(height: int, width: int, data: bytes) -> Description:
    """Return what ``DESCRIPTION`` tells, with arrays to be filled.

    Raises:
        ValueError: it is none.
    """
    letter, has_alpha, is_grey, place, bits, *sizes, across, down = DESCRIPTION.unpack(data)
    if letter not in _TYPES or place >= len(_FILE_FORMATS):
        raise ValueError(f"an image must be of a known kind, got {letter!r} and {place}")
    depth = _TYPES[letter]
    raster = Raster(
        pixels=np.empty((height, width, 3), depth),
        alpha=np.empty((height, width), depth) if has_alpha else None,
        is_grey=is_grey,
        file_format=_FILE_FORMATS[place],
        bits=bits,
        metadata=Metadata(resolution=None if math.isnan(across) else (across, down)),
    )
    return Description(height, width, raster, (sizes[0], sizes[1], sizes[2], sizes[3]))
