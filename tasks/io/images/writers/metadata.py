"""What an image says beside its pixels, made fit for a format: Exif and colour profiles.

Tags and types of profiles are those of the ICC's specification (ICC.1:2022).
"""

import struct
from contextlib import suppress

from tasks.io.images.metadata.tags import ORIENTATION, Directory, directory_of_exif
from tasks.io.images.raster import Metadata

RGB, GREY = b"RGB ", b"GRAY"
"""How profiles name the colours that they are about."""

_RESOLUTION_ACROSS, _RESOLUTION_DOWN, _UNIT, _INCH = 282, 283, 296, 2
_SHORT, _RATIONAL = 3, 5
_PARTS = 10_000
_MOST_PER_INCH = 65_535

_HEADER, _COUNT = 128, struct.Struct(">L")
_TAG = struct.Struct(">4sLL")
_GREY_CURVE = b"kTRC"
_COLORANTS = {
    b"rXYZ": (0x6FA2, 0x38F5, 0x0390),
    b"gXYZ": (0x6299, 0xB785, 0x18DA),
    b"bXYZ": (0x24A0, 0x0F84, 0xB6CF),
}
"""sRGB's primaries as seen under D50, in parts of 65536; grey is where their sums are."""


def exif_with_resolution(metadata: Metadata) -> bytes:
    """Return the Exif of an image; where it has none, one that tells its resolution, if known.

    For formats that have no other place for it.
    """
    if metadata.exif or metadata.resolution is None:
        return metadata.exif
    place = 8 + 2 + 3 * 12 + 4
    entries = (
        struct.pack("<HHLL", _RESOLUTION_ACROSS, _RATIONAL, 1, place),
        struct.pack("<HHLL", _RESOLUTION_DOWN, _RATIONAL, 1, place + 8),
        struct.pack("<HHLHxx", _UNIT, _SHORT, 1, _INCH),
    )
    return b"".join(
        [b"II*\0", struct.pack("<LH", 8, len(entries)), *entries, bytes(4)]
        + [as_rational(value, "<") for value in metadata.resolution]
    )


def likely_resolution(resolution: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return a resolution; None for one that all formats could not tell, and no picture has."""
    if resolution is None or not all(1 <= value <= _MOST_PER_INCH for value in resolution):
        return None
    return resolution


def tells_more_than_resolution(exif: bytes) -> bool:
    """Return whether Exif tells more than ``exif_with_resolution`` makes of a resolution."""
    directory = exif_directory(exif)
    known = {ORIENTATION, _RESOLUTION_ACROSS, _RESOLUTION_DOWN, _UNIT}
    return bool(exif) and (directory is None or any(e.tag not in known for e in directory.entries))


def as_rational(value: float, order: str) -> bytes:
    """Return a positive number as a fraction of two numbers of 32 bits."""
    whole = float(value).is_integer()
    parts = 1 if whole else _PARTS
    return struct.pack(f"{order}LL", round(value * parts), parts)


def exif_directory(exif: bytes) -> Directory | None:
    """Return the first directory of Exif; None if there is none, or it is damaged."""
    with suppress(struct.error):
        return directory_of_exif(exif)
    return None


def without_orientation(exif: bytes) -> bytes:
    """Return Exif without the entry of its first directory that tells the orientation.

    For writers that would turn the image by it, or write the whole anew. All else stays where
    it is, so that places in it still hold.
    """
    directory = exif_directory(exif)
    if directory is None:
        return exif
    tags = [entry.tag for entry in directory.entries]
    if ORIENTATION not in tags:
        return exif
    (start,) = struct.unpack_from(f"{directory.order}L", exif, 4)
    entry = start + 2 + 12 * tags.index(ORIENTATION)
    end = start + 2 + 12 * len(tags) + 4
    count = struct.pack(f"{directory.order}H", len(tags) - 1)
    return (
        exif[:start]
        + count
        + exif[start + 2 : entry]
        + exif[entry + 12 : end]
        + (bytes(12) + exif[end:])
    )


def space_of(icc: bytes) -> bytes:
    """Return the colours that a profile is about, as it names them, such as ``RGB``."""
    return icc[16:20]


def rgb_of_grey(icc: bytes) -> bytes | None:
    """Return a profile for three equal channels that shows what one of grey shows.

    It is one of a matrix with the curve of grey for each channel. Its primaries are sRGB's,
    which only colours would show.

    Returns:
        None where the profile is not a curve of luminance alone.
    """
    tags = _tags_of(icc)
    if icc[20:24] != b"XYZ " or _GREY_CURVE not in tags:
        return None
    curve = tags.pop(_GREY_CURVE)
    for name, values in _COLORANTS.items():
        tags[name] = struct.pack(">4s4x3L", b"XYZ ", *values)
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(icc[:16] + RGB + icc[20:_HEADER], tags)


def _tags_of(icc: bytes) -> dict[bytes, bytes]:
    """Return the data of each tag; those that lie outside of the profile are left out."""
    if len(icc) < _HEADER + _COUNT.size:
        return {}
    (count,) = _COUNT.unpack_from(icc, _HEADER)
    table = icc[_HEADER + _COUNT.size :][: count * _TAG.size]
    entries = _TAG.iter_unpack(table[: len(table) // _TAG.size * _TAG.size])
    return {
        name: icc[place : place + size] for name, place, size in entries if place + size <= len(icc)
    }


def _profile(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return a profile of these tags, of which equal ones are written once."""
    start = _HEADER + _COUNT.size + len(tags) * _TAG.size
    table, data, places = _COUNT.pack(len(tags)), b"", dict[bytes, int]()
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(data)
            data += value + bytes(-len(value) % 4)
        table += _TAG.pack(name, places[value], len(value))
    whole = bytearray(header + table + data)
    whole[:4] = _COUNT.pack(len(whole))
    whole[84:100] = bytes(16)  # its digest: not computed
    return bytes(whole)
