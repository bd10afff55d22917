"""What Pillow drops of a PNG's pixels, and the damage that it passes over.

Chunks and their checksums are those of the PNG specification (third edition).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from tasks.io.images.formats import sixteen_bits
from tasks.io.images.formats.loaded import Loaded, of_pillow, of_samples

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column and row of an interlaced PNG's passes, and their steps."""

_AT_ONCE = 1 << 20
_NEEDED = frozenset({b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
"""Chunks that may be left out by their name, but change what is shown."""

_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})

_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
"""Chunks that a reader must know; what others of capital letters change cannot be told."""

_ONCE = frozenset({b"PLTE", b"tRNS"})
"""Chunks of which another one would change what is shown; of a second header Pillow complains."""

_TEXT, _TEXT_NEEDED = (b"iTXt", b"tEXt", b"zTXt"), (b"exif", b"Raw profile", b"xmp", b"XML:com")
"""Chunks of text, and the beginning of it where an orientation may stand in it."""


class _Chunk(NamedTuple):
    """A chunk of a PNG, which begins at a place of the file."""

    kind: bytes
    place: int
    content: memoryview
    checksum: bytes

    @property
    def end(self) -> int:
        """Place behind it."""
        return self.place + 12 + len(self.content)

    @property
    def is_sound(self) -> bool:
        """Whether it is as it was written."""
        return self.checksum == struct.pack(">I", zlib.crc32(self.content, zlib.crc32(self.kind)))

    @property
    def name(self) -> str:
        """Its four letters, as they may be shown."""
        return ascii(self.kind)[2:-1]

    @property
    def is_critical(self) -> bool:
        """Whether its name says that a reader must know it."""
        return not self.kind[0] & 0x20

    @property
    def may_be_dropped(self) -> bool:
        """Whether what is shown does not depend on it."""
        has_metadata = self.kind in _TEXT and bytes(self.content[:16]).startswith(_TEXT_NEEDED)
        return not self.is_critical and self.kind not in _NEEDED and not has_metadata


def complaint(data: bytes) -> str | None:
    """Return why a PNG is of a kind that is not read; None if it may be.

    Pillow takes the chunks in any order and number, and passes over all that it does not know.
    """
    seen = set[bytes]()
    for chunk in _chunks(data):
        if not seen and chunk.kind != b"IHDR":
            return f"PNG that begins with a chunk {chunk.name} is not read; save it anew"
        if chunk.is_critical and chunk.kind not in _CRITICAL and chunk.is_sound:
            return f"PNG with the unknown chunk {chunk.name} is not read; save it anew"
        if chunk.kind in seen & _ONCE:
            return f"PNG with a second chunk {chunk.name} is not read; save it anew"
        seen.add(chunk.kind)
    return None


def without_bad_text(data: bytes) -> bytes:
    """Return a PNG without the chunks that do not matter and have a wrong checksum.

    Pillow refuses a whole image for them.
    """
    if not data.startswith(SIGNATURE):
        return data
    kept, start = [], 0
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT":  # chunks behind it Pillow does not check
            break
        if chunk.may_be_dropped and not chunk.is_sound:
            kept.append(data[start : chunk.place])
            start = chunk.end
    return b"".join([*kept, data[start:]]) if kept else data


def still(data: bytes) -> bytes:
    """Return an animated PNG without its animation: the picture that other readers show."""
    if not data.startswith(SIGNATURE) or b"acTL" not in data:
        return data
    chunks = list(_chunks(data))
    if all(chunk.kind != b"IDAT" for chunk in chunks):
        return data
    kept = (data[chunk.place : chunk.end] for chunk in chunks if chunk.kind not in _ANIMATION)
    return SIGNATURE + b"".join(kept)


def load(image: ImageFile.ImageFile, data: bytes) -> Loaded:
    """Return the pixels of an opened PNG, with alpha where some may be transparent.

    Raises:
        ValueError: a checksum is wrong, or a pixel has a colour that the palette has not.
        OSError: Pillow gives up.
    """
    _require_sound(data)
    data = without_bad_text(data)
    bits, colour = data[24], data[25]
    before_pixels = {}
    for chunk in _chunks(data):
        if chunk.kind in (b"IDAT", b"fdAT"):
            break
        before_pixels[chunk.kind] = bytes(chunk.content)
    transparent = _numbers(before_pixels.get(b"tRNS", b""), bits)
    image.load()
    last_row = image.crop((0, image.height - 1, *image.size))
    if image.info.get("interlace") or last_row.getbbox(alpha_only=False) is None:
        _require_all_rows(data, image.size)  # Pillow leaves those that are missing black
    if bits == 16:
        return _of_sixteen_bits(image, data, transparent)
    if colour == _PALETTE:
        if np.asarray(image).max() >= len(before_pixels.get(b"PLTE", b"")) // 3:
            raise ValueError("a pixel has a colour that its palette has not")
        return of_pillow(image)
    image.info.pop("transparency", None)
    if transparent:  # Pillow compares it, unscaled, with levels that it has scaled to 8 bits
        levels = tuple(number * 255 // ((1 << bits) - 1) for number in transparent)
        image.info["transparency"] = levels if colour == _RGB else levels[0]
    return of_pillow(image)


def _of_sixteen_bits(
    image: ImageFile.ImageFile, data: bytes, transparent: tuple[int, ...]
) -> Loaded:
    """Return pixels of 16 bits; what has the transparent colour has no alpha."""
    colour = data[25]
    if colour == _GREY:
        wide = np.asarray(image).astype(np.uint16)
        is_opaque = wide != transparent[0] if transparent else None
    elif colour == _GREY_ALPHA:
        wide, is_opaque = _grey_with_alpha(data), None
    else:
        wide = sixteen_bits.samples(image, data)
        is_opaque = (wide != transparent).any(axis=-1) if transparent else None
    loaded = of_samples(wide, 16)
    if is_opaque is None:
        return loaded
    return loaded._replace(alpha=np.where(is_opaque, np.uint16(0xFFFF), np.uint16(0)))


def _grey_with_alpha(data: bytes) -> sixteen_bits.Wide:
    """Return the samples (h, w, 2) of a PNG of grey with alpha, of 16 bits each.

    Two samples of 16 bits are stored as four of 8 bits are, and so are read as RGBA.
    """
    start = len(SIGNATURE) + 4
    header = data[start : start + 12] + bytes([8, _RGBA]) + data[start + 14 : start + 17]
    fake = data[:start] + header + struct.pack(">I", zlib.crc32(header)) + data[start + 21 :]
    with Image.open(io.BytesIO(fake), formats=["PNG"]) as image:
        return np.ascontiguousarray(np.asarray(image)).view(">u2").astype(np.uint16)


def _numbers(content: bytes, bits: int) -> tuple[int, ...]:
    """Return the numbers of a chunk, which have 16 bits, as far as samples have bits."""
    count = len(content) // 2
    return tuple(number & ((1 << bits) - 1) for number in struct.unpack_from(f">{count}H", content))


def _require_all_rows(data: bytes, size: tuple[int, int]) -> None:
    """Raise ValueError if a PNG has data for fewer rows than it says."""
    bits, colour, is_interlaced = data[24], data[25], data[28]
    needed, found, inflating = 0, 0, zlib.decompressobj()
    for left, top, across, down in _PASSES if is_interlaced else ((0, 0, 1, 1),):
        width, height = -(-(size[0] - left) // across), -(-(size[1] - top) // down)
        if width > 0:
            needed += (1 + ceil(width * bits * _CHANNELS[colour] / 8)) * max(height, 0)
    for chunk in _chunks(data):
        packed = chunk.content if chunk.kind == b"IDAT" else chunk.content[4:]
        while chunk.kind in (b"IDAT", b"fdAT") and packed and found < needed:
            found += len(inflating.decompress(packed, _AT_ONCE))
            packed = memoryview(inflating.unconsumed_tail)
    if found < needed:
        raise ValueError("rows of its pixels are missing")


def _require_sound(data: bytes) -> None:
    """Raise ValueError if a chunk that matters is cut, or has a wrong checksum."""
    for chunk in _chunks(data):
        if not chunk.may_be_dropped and not chunk.is_sound:
            raise ValueError(f"the checksum of its chunk {chunk.name} is wrong, or it is cut off")


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """Yield the chunks of a PNG up to its end; the last one may be cut."""
    view, place = memoryview(data), len(SIGNATURE)
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        content = view[place + 8 : place + 8 + size]
        chunk = _Chunk(kind, place, content, data[place + 8 + size : place + 12 + size])
        yield chunk
        if kind == b"IEND":
            return
        place += 12 + size
