"""Files made to harm: bombs, files of two kinds, pickles under the name of an image."""

import io
import pickle
import struct
import tarfile
import time
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, read_header
from tests.support.pictures import decode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=64 << 20)


@pytest.fixture
def colour(pixels):
    return pixels(1, 20, 30)


def file_of(image, file_format, **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, file_format, **options)
    return out.getvalue()


def chunk(kind, payload):
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


def with_chunks(png, *chunks):
    """The PNG with chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def refusals(data):
    """The reasons of both readers; each must refuse."""
    reasons = []
    for read in (read_header, decode):
        with pytest.raises(ImageRefused) as caught:
            read(data, LIMITS)
        reasons.append(str(caught.value))
    return reasons


def oversized(file_format):
    """A few bytes that promise an enormous image."""
    side = 16_000
    if file_format == "PNG":
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
        return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
    data = bytearray(file_of(np.zeros((16, 16, 3), np.uint8), file_format, lossless=True))
    if file_format == "JPEG":
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", side, side)
    elif file_format == "WEBP":
        start = data.index(b"VP8L") + 9
        data[start : start + 4] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    elif file_format == "BMP":
        data[18:26] = struct.pack("<ii", side, side)
    else:
        for tag in (256, 257):
            start = data.index(struct.pack("<HHII", tag, 4, 1, 16)) + 8
            data[start : start + 4] = struct.pack("<I", side)
    return bytes(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_few_bytes_that_promise_an_enormous_image_are_refused_at_once(file_format):
    data = oversized(file_format)
    assert len(data) < 2000
    start = time.process_time()
    assert {reason.partition(":")[0] for reason in refusals(data)} == {"too many pixels"}
    assert time.process_time() - start < 1


def test_a_png_that_unpacks_to_more_than_its_pixels_gives_its_pixels(colour):
    whole = file_of(colour, "PNG")
    raw = b"".join(b"\0" + row.tobytes() for row in colour)
    data = whole[:33] + chunk(b"IDAT", zlib.compress(raw + bytes(50 << 20))) + whole[-12:]
    np.testing.assert_array_equal(decode(data, LIMITS), colour)


@pytest.mark.parametrize(
    "payload",
    [
        (b"zTXt", b"key\0\0"),
        (b"iTXt", b"key\0\1\0\0\0"),
        (b"iCCP", b"profile\0\0"),
    ],
)
def test_text_and_profiles_that_unpack_to_much_are_refused_before_they_do(colour, payload):
    kind, head = payload
    bomb = chunk(kind, head + zlib.compress(bytes(100 << 20), 9))
    data = with_chunks(file_of(colour, "PNG"), bomb)
    assert len(data) < 200_000
    for reason in refusals(data):
        assert reason.startswith("colour profile or text of more than a mebibyte")


def test_many_texts_that_unpack_to_much_together_are_refused(colour):
    text = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(1_000_000), 9))
    data = with_chunks(file_of(colour, "PNG"), *[text] * 100)
    for reason in refusals(data):
        assert reason.startswith("damaged: Too much memory used in text chunks")


def test_text_behind_the_pixels_is_measured_too(colour):
    bomb = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(100 << 20), 9))
    whole = file_of(colour, "PNG")
    with pytest.raises(ImageRefused, match="text of more than a mebibyte"):
        decode(whole[:-12] + bomb + whole[-12:], LIMITS)


def test_a_tiff_of_very_many_pages_is_refused_at_once():
    """Counting them takes Pillow the square of their number: hours for one file."""
    data = bytearray(file_of(np.zeros((16, 16), np.uint8), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    data += bytes(len(data) % 2)
    start, entries, pages = (
        len(data),
        ((256, 4, 16), (257, 4, 16), (262, 3, 1), (273, 4, 8)),
        200_000,
    )
    size = 6 + 12 * len(entries)
    struct.pack_into("<I", data, link, start)
    page = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    for number in range(pages):
        data += page + struct.pack("<I", start + (number + 1) * size if number < pages - 1 else 0)
    begun = time.process_time()
    assert set(refusals(bytes(data))) == {"animated or of several pages"}
    assert time.process_time() - begun < 1


def test_a_tiff_whose_pages_go_in_a_circle_ends():
    data = bytearray(file_of(np.zeros((16, 16), np.uint8), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    link = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, link, first)
    assert decode(bytes(data), LIMITS).shape == (16, 16, 3)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("tail", ["zip", "tar"])
def test_a_file_that_is_an_image_and_an_archive_is_an_image_and_nothing_else(
    colour, file_format, tail
):
    image, archive = file_of(colour, file_format), io.BytesIO()
    if tail == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("../evil.sh", "rm -rf /")
    else:
        with tarfile.open(fileobj=archive, mode="w") as packed:
            packed.addfile(tarfile.TarInfo("../evil.sh"))
    data = image + archive.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(data)) == (tail == "zip")
    np.testing.assert_array_equal(decode(data, LIMITS), decode(image, LIMITS))


def test_an_archive_that_an_image_stands_in_is_no_image(colour):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("a.jpg", file_of(colour, "JPEG"))
    assert {reason.partition(" in ")[0] for reason in refusals(archive.getvalue())} == {"no image"}


class Harm:
    """Unpickled, it would end the test run."""

    def __reduce__(self):
        return (pytest.exit, ("unpickled",))


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_under_the_name_of_an_image_is_no_image_and_not_unpickled(protocol):
    for reason in refusals(pickle.dumps(Harm(), protocol)):
        assert reason.startswith("no image in one of the formats")


def test_numpys_file_with_a_pickle_is_no_image():
    out = io.BytesIO()
    np.save(out, np.array([Harm()], object), allow_pickle=True)
    for reason in refusals(out.getvalue()):
        assert reason.startswith("no image in one of the formats")


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n",
        b"%PDF-1.7\n",
        b"GIF89a" + bytes(100),
        b"P6 64 64 255\n" + bytes(64 * 64 * 3),
    ],
)
def test_formats_with_programs_or_links_in_them_are_not_even_tried(text):
    for reason in refusals(text):
        assert reason.startswith("no image in one of the formats")
