"""Whether the header of an image file is safe to parse, found out without Pillow.

Pillow reads a header piece by piece, in Python: a header of millions of pieces, or of pieces
that unpack to much more than their size, takes it hours and gigabytes before any pixel. And
the orientation of an image may stand where only a decoder comes by. A file is called plain if
neither is the case, as with nearly all that cameras and programs write. The header of any
other file is not parsed here: the image is decoded at once, in a child process with limits
(``decoder_pool``).
"""

import struct
from collections.abc import Callable, Iterator

from tasks.io.images.formats import heic, jxl
from tasks.io.images.formats.tiff_layout import Layout
from tasks.io.images.metadata.tags import BLOBS, MOST_ENTRIES, Directory, directory_of_exif

MOST_CHUNKS = 1 << 17
"""Chunks of a PNG; writers cut pixels into pieces of 8 kB or more."""

MOST_EARLY_CHUNKS = 100
"""Chunks before the pixels of a PNG. Pillow unpacks profiles and text, each to 1 MiB at most."""

MOST_PIECES = MOST_ENTRIES
"""Segments of a JPEG, or chunks of a WebP, beside entries of a TIFF's directory. A colour profile
or a depth map is cut into some hundred at most."""

MOST_PARSED_BYTES = 1 << 20
"""Bytes of Exif, or of what else Pillow parses in a JPEG: Photoshop's resources and tables."""

MOST_VALUES = 1 << 16
"""Values of an entry of a directory, each of which becomes an object in memory."""

_EXIF = b"Exif\0\0"
_SCAN, _APP1 = 0xDA, 0xE1
_TABLES = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)} - {0xC8})
_PHOTOSHOP = 0xED
_SEGMENTS = _TABLES | {*range(0xE0, 0xF0), 0xFE}
"""Markers in a JPEG's header that are followed by a segment; after any other marker Pillow
goes on byte by byte."""

_TEXT = frozenset({b"iTXt", b"tEXt", b"zTXt"})
_PIXELS = frozenset({b"IDAT", b"fdAT"})
_TEXT_AS_EXIF = (b"exif", b"Raw profile type exif", b"Raw profile type APP1")
_TEXT_AS_METADATA = (*_TEXT_AS_EXIF, b"Raw profile type", b"xmp", b"XML:com.adobe.xmp")
"""Keywords of a PNG's text in which Pillow finds an orientation; other text may stand behind
the pixels, where ImageMagick puts dates."""

_XMP = 700
"""Of tags from this one on Pillow keeps bytes and text together; the values of lower tags, which
describe the image, it goes over one by one."""


def is_plain(data: bytes) -> bool:
    """Whether a file's header is cheap to parse, and says how the image is shown.

    True for a file of no known format: Pillow refuses it by its first bytes. Of AVIF, HEIC and
    JPEG XL none is plain: their headers are for libraries to parse.
    """
    if _ending_of_newer(data) is not None:
        return False
    try:
        return all(rule(data) for signature, _, rule in _FORMATS if data.startswith(signature))
    except struct.error:  # something lies outside of the file
        return False


def extension_in(data: bytes) -> str:
    """Return the ending of file names, without the dot, for an image of a known format."""
    if (newer := _ending_of_newer(data)) is not None:
        return newer
    known = ((signature, ending) for signature, ending, _ in _FORMATS)
    return next(
        ending for signature, ending in (*known, (b"BM", "bmp")) if data.startswith(signature)
    )


def _ending_of_newer(data: bytes) -> str | None:
    """Return the ending of file names of AVIF, HEIC and JPEG XL; None for any other file."""
    return "jxl" if jxl.is_jxl(data) else heic.format_in_boxes(data)


def _is_plain_jpeg(data: bytes) -> bool:
    """Whether few segments, with nothing between them, lead to the pixels of a JPEG."""
    exif, parsed_bytes = bytearray(), 0
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            return not exif or _is_plain_exif(bytes(exif))
        if marker == _APP1 and data.startswith(_EXIF, start):
            exif += data[start + len(_EXIF) : end]  # of several segments perhaps
        if marker == _PHOTOSHOP or marker in _TABLES:
            parsed_bytes += end - start
        if parsed_bytes > MOST_PARSED_BYTES:
            return False
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of a JPEG's segments, up to the first thing that is none."""
    place = 2
    for _ in range(MOST_PIECES):
        lead, marker, size = struct.unpack_from(">BBH", data, place)
        if lead != 0xFF or marker not in _SEGMENTS:
            return
        yield marker, place + 4, place + 2 + size
        place += 2 + size  # at the size itself, and so at no marker, if that is below two


def _is_plain_png(data: bytes) -> bool:
    """Whether all metadata of a PNG stand before its pixels, and are cheap to parse."""
    place, has_pixels = 8, False
    for number in range(MOST_CHUNKS):
        if place + 8 > len(data):
            return True
        size, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IEND":
            return True
        if not _is_plain_chunk(kind, data, place + 8, size, has_pixels):
            return False
        has_pixels = has_pixels or kind in _PIXELS
        if number >= MOST_EARLY_CHUNKS and not has_pixels:
            return False
        place += 12 + size
    return False


def _is_plain_chunk(kind: bytes, data: bytes, start: int, size: int, is_late: bool) -> bool:
    """Whether one chunk of a PNG is cheap to parse, and where a reader of headers looks for it.

    Args:
        kind: the four letters of the chunk.
        data: the whole file.
        start: of the chunk's content in the file.
        size: of the chunk's content, in bytes.
        is_late: whether pixels came before it.
    """
    if kind == b"eXIf":
        return not is_late and _is_plain_exif(data[start : start + size])
    keywords = _TEXT_AS_METADATA if is_late else _TEXT_AS_EXIF
    return kind not in _TEXT or not data.startswith(keywords, start)


def _is_plain_webp(data: bytes) -> bool:
    """Whether a WebP has few chunks, and Exif that is cheap to parse."""
    (size,) = struct.unpack_from("<L", data, 4)
    place, end = 12, min(len(data), 8 + size)
    for _ in range(MOST_PIECES):
        if place + 8 > end:
            return True
        kind, size = struct.unpack_from("<4sL", data, place)
        if kind == b"EXIF" and not _is_plain_exif(data[place + 8 : place + 8 + size]):
            return False
        place += 8 + size + size % 2
    return False


def _is_plain_tiff(data: bytes) -> bool:
    """Whether a TIFF has one page with few entries, and no orientation in its XMP."""
    directory = Directory.of(data)
    if directory is None or directory.is_big:
        return False
    return (
        directory.next_place == 0
        and _is_light(directory, len(data))
        and Layout.of(directory).is_read_by_pillow
        and not any(
            data.find(b"tiff:Orientation", entry.place, entry.place + entry.size_bytes) >= 0
            for entry in directory.entries
            if entry.tag == _XMP
        )
    )


def _is_plain_exif(data: bytes) -> bool:
    """Whether Exif, with its prefix or without, is cheap to parse: its first directory is small."""
    if len(data) > MOST_PARSED_BYTES:
        return False
    directory = directory_of_exif(data)
    return (
        directory is not None and not directory.is_big and _is_light(directory, len(directory.data))
    )


def _is_light(directory: Directory, size_bytes: int) -> bool:
    """Whether all values together fit into so many bytes, and no entry has many of them."""
    return sum(entry.size_bytes for entry in directory.entries) <= size_bytes and all(
        entry.values <= MOST_VALUES or (entry.kind in BLOBS and entry.tag >= _XMP)
        for entry in directory.entries
    )


_FORMATS: tuple[tuple[bytes, str, Callable[[bytes], bool]], ...] = (
    (b"\xff\xd8\xff", "jpg", _is_plain_jpeg),
    (b"\x89PNG\r\n\x1a\n", "png", _is_plain_png),
    (b"RIFF", "webp", _is_plain_webp),
    (b"II", "tif", _is_plain_tiff),
    (b"MM", "tif", _is_plain_tiff),
)
"""Signature, ending and rule of the formats that have one; a BMP has no pieces."""
