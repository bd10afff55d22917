"""Colour profiles for tests: sRGB, Display P3 by numbers, and grey by a curve."""

import struct

from PIL import ImageCms


def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def built(space, tags, *, version=2, platform=b"APPL"):
    """A profile for displays, of the tags given as bytes."""
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sLL", name, start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">L", len(tags)) + table + data
    header = struct.pack(">L4sL4s4s4s12x4s4s", 128 + len(body), b"test", version << 24, b"mntr",
                         space, b"XYZ ", b"acsp", platform)  # fmt: skip
    white = struct.pack(">3l", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(68, b"\0") + white.ljust(60, b"\0") + body


def _xyz(x, y, z):
    return struct.pack(">4s4x3l", b"XYZ ", *(round(value * 65536) for value in (x, y, z)))


def _curve(gamma):
    return struct.pack(">4s4xLH2x", b"curv", 1, round(gamma * 256))


def _text(kind, words):
    if kind == b"desc":
        return struct.pack(">4s4xL", b"desc", len(words) + 1) + words + b"\0" + bytes(78)
    return struct.pack(">4s4x", b"text") + words + b"\0"


_WORDS = {b"desc": _text(b"desc", b"of a test"), b"cprt": _text(b"text", b"none")}


def grey(gamma=1.8, platform=b"APPL"):
    tags = _WORDS | {b"wtpt": _xyz(0.9642, 1, 0.8249), b"kTRC": _curve(gamma)}
    return built(b"GRAY", tags, platform=platform)


def display_p3(platform=b"APPL"):
    primaries = {
        b"rXYZ": _xyz(0.51512, 0.24120, -0.00105),
        b"gXYZ": _xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": _xyz(0.15710, 0.06657, 0.78407),
    }
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(2.2))
    tags = _WORDS | {b"wtpt": _xyz(0.9642, 1, 0.8249)} | primaries | curves
    return built(b"RGB ", tags, platform=platform)
