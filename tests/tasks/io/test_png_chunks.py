"""PNG files whose metadata stands behind their pixels, and files of endless chunks."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, decode, read_header
from tasks.io.png_chunks import MOST_CHUNKS, has_late_metadata

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(exif=None):
    out = io.BytesIO()
    pixels = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    Image.fromarray(pixels).save(out, "PNG", **({"exif": exif} if exif else {}))
    return out.getvalue()


def behind(data, *chunks):
    """The file with chunks before its end."""
    end = data.rindex(b"IEND") - 4
    return data[:end] + b"".join(chunks) + data[end:]


@pytest.fixture
def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def test_metadata_before_the_pixels_is_not_late(turned):
    assert not has_late_metadata(png())
    assert not has_late_metadata(png(turned))
    header = read_header(png(turned), LIMITS)
    assert (header.width, header.height) == (16, 24)


@pytest.mark.parametrize("kind", [b"eXIf", b"iTXt", b"tEXt", b"zTXt"])
def test_metadata_behind_the_pixels_is_late(kind):
    assert has_late_metadata(behind(png(), chunk(kind, b"a\0b")))


def test_a_late_orientation_is_what_the_decoder_goes_by(turned):
    data = behind(png(), chunk(b"eXIf", turned.removeprefix(b"Exif\0\0")))
    assert has_late_metadata(data)
    assert decode(data, LIMITS).shape == (24, 16, 3)


def test_other_formats_and_fragments_have_none():
    for data in (b"", b"\xff\xd8\xff", png()[:20], png()[:40]):
        assert not has_late_metadata(data)


def test_a_file_of_endless_chunks_is_refused_without_opening_it():
    bomb = png()[:33] + chunk(b"abCd") * (MOST_CHUNKS + 1)
    with pytest.raises(ImageRefused, match=f"damaged: more than {MOST_CHUNKS} chunks"):
        read_header(bomb, LIMITS)


def test_reading_a_header_inflates_no_pixels():
    data = bytearray(png())
    place = data.index(b"IDAT") + 4
    data[place : place + 8] = b"\xff" * 8
    assert read_header(bytes(data), LIMITS).width == 24
    with pytest.raises(ImageRefused, match="damaged"):
        decode(bytes(data), LIMITS)
