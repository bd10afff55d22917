"""Which headers are read in this process, and that all others are left to a decoder."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.config.corpora import Corpus
from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, headers, read_header
from tasks.io.images.headers import (
    MOST_CHUNKS,
    MOST_EARLY_CHUNKS,
    MOST_VALUES,
    extension_in,
    is_plain,
)
from tasks.io.shards import Refused
from tasks.io.store import Store
from tasks.shard import acceptance, intake
from tasks.shard.image_files import SourceFile
from tests.support.pictures import decode, encode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
XMP_TEXT = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP


def file_of(file_format, size=(24, 16), **options):
    out = io.BytesIO()
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    Image.fromarray(pixels).save(out, file_format, **options)
    return out.getvalue()


def exif(orientation=6, **others):
    found = Image.Exif()
    found[0x0112] = orientation
    for tag, value in others.items():
        found[int(tag.removeprefix("tag_"))] = value
    return found.tobytes()


def segment(marker, data=b""):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


def jpeg(*parts, **options):
    """A JPEG with these right behind its start."""
    whole = file_of("JPEG", **options)
    return whole[:2] + b"".join(parts) + whole[2:]


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, late=False):
    """A PNG with chunks behind its header, or late ones, behind its pixels."""
    whole = file_of("PNG")
    place = len(whole) - 12 if late else 33
    return whole[:place] + b"".join(chunks) + whole[place:]


def film(*chunks):
    """A PNG of one frame of an animation and nothing else, with chunks behind it."""
    whole = file_of("PNG")
    pixels = whole[41:-16]
    control = struct.pack(">LLLLLHHBB", 0, 24, 16, 0, 0, 1, 10, 0, 0)
    frames = chunk(b"acTL", struct.pack(">LL", 1, 0)) + chunk(b"fcTL", control)
    frames += chunk(b"fdAT", struct.pack(">L", 1) + pixels)
    return whole[:33] + frames + b"".join(chunks) + whole[-12:]


def webp(*chunks):
    """An extended WebP with chunks at its end."""
    whole = file_of("WEBP", exif=exif(1), lossless=True)
    body = whole[8:] + b"".join(k + struct.pack("<L", len(d)) + d for k, d in chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def directory(*entries, next_place=0, tail=b""):
    """A TIFF's header and directory; entries of tag, type, count and value, or place."""
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    head = struct.pack("<4sLH", b"II*\0", 8, len(entries))
    return head + packed + struct.pack("<L", next_place) + tail


def tiff(*entries, **options):
    """A grey TIFF of 16 x 16 that lies at place 8, with more entries."""
    basic = ((256, 3, 1, 16), (257, 3, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8))
    given = {entry[0] for entry in entries}
    kept = (entry for entry in basic if entry[0] not in given)
    return directory(*sorted([*kept, *entries]), **{"tail": bytes(512), **options})


def in_segments(data):
    """Exif cut into segments of a JPEG."""
    return b"".join(
        segment(0xE1, b"Exif\0\0" + data[start : start + 60_000])
        for start in range(0, len(data), 60_000)
    )


def circular(data):
    """The TIFF with its first page named as the next one."""
    data = bytearray(data)
    (first,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<L", data, first + 2 + 12 * count, first)
    return bytes(data)


def pages(file_format):
    one = Image.new("L", (16, 16))
    out = io.BytesIO()
    one.save(out, file_format, save_all=True, append_images=[one])
    return out.getvalue()


PLAIN = {
    **{file_format: lambda name=file_format: file_of(name) for file_format in FORMATS},
    **{
        f"{file_format}, turned": lambda name=file_format: file_of(name, exif=exif())
        for file_format in ("JPEG", "PNG", "WEBP", "TIFF")
    },
    **{
        f"{file_format} with a profile": lambda name=file_format: file_of(
            name, icc_profile=bytes(200_000)
        )
        for file_format in ("JPEG", "PNG", "WEBP", "TIFF")
    },
    "progressive JPEG": lambda: file_of("JPEG", progressive=True, optimize=True),
    "phone's JPEG": lambda: pages("MPO"),
    "JPEG with a thumbnail": lambda: jpeg(
        segment(0xE1, b"Exif\0\0" + directory((0x112, 3, 1, 6), next_place=26, tail=bytes(99)))
    ),
    "JPEG whose Exif is cut": lambda: jpeg(in_segments(exif(tag_40092=bytes(99_999))[6:])),
    "JPEG with Exif of two prefixes": lambda: jpeg(segment(0xE1, b"Exif\0\0" + exif())),
    "WebP with Exif of a prefix": lambda: webp((b"EXIF", exif(1))),
    "JPEG of 900 segments": lambda: jpeg(segment(0xEF) * 900),
    "JPEG of Photoshop": lambda: jpeg(segment(0xED, b"Photoshop 3.0\0" + bytes(9999))),
    "TIFF of a row in each strip": lambda: file_of("TIFF", size=(16, 2000), tiffinfo={278: 1}),
    "packed TIFF": lambda: file_of("TIFF", compression="tiff_adobe_deflate"),
    "TIFF with a large blob": lambda: tiff((34377, 7, 99_999, 0), tail=bytes(99_999)),
    "TIFF whose XMP turns nothing": lambda: file_of("TIFF", tiffinfo={700: b"<x:xmpmeta/>"}),
    "PNG of many chunks": lambda: png(chunk(b"IDAT") * 2000, late=True),
    "PNG with late dates": lambda: png(chunk(b"tEXt", b"date:create\x002024"), late=True),
    "PNG with early XMP": lambda: png(chunk(b"iTXt", XMP_TEXT)),
    "other chunks behind a WebP": lambda: file_of("WEBP") + bytes(8) * 2000,
}

NO_IMAGES = {
    "TIFF of no entries, highest byte first": lambda: b"MM\0*\0\0\0\x08\0\0\0\0\0\0",
    "cut PNG": lambda: png()[:40],
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "a text": lambda: b"an image, it says",
    "a film": lambda: b"\0\0\0\x18ftypmp42" + bytes(99),
}
"""What is plain too, as Pillow is quick to refuse it."""

DECODED = {
    "JPEG of 2,000 segments": lambda: jpeg(segment(0xEF) * 2000),
    "JPEG of 2,000 segments of Exif": lambda: jpeg(
        segment(0xE1, exif()), segment(0xE1, b"Exif\0\0") * 2000
    ),
    "JPEG with fill bytes": lambda: jpeg(b"\xff" * 20),
    "JPEG with bytes between segments": lambda: jpeg(segment(0xEF), b"\0\xef\0\2"),
    "JPEG with a marker without segment": lambda: jpeg(b"\xff\xd0\0\2"),
    "JPEG with a segment of no bytes": lambda: jpeg(b"\xff\xef\0\0"),
    "JPEG with much Exif": lambda: jpeg(in_segments(exif(tag_40092=bytes(1_200_000))[6:])),
    "JPEG with Exif that counts twice": lambda: jpeg(
        segment(0xE1, b"Exif\0\0" + directory((700, 7, 60, 0), (40092, 7, 60, 0), tail=bytes(60)))
    ),
    "JPEG with much of Photoshop": lambda: jpeg(
        segment(0xED, b"Photoshop 3.0\0" + bytes(60_000)) * 18
    ),
    "JPEG with many tables": lambda: jpeg(segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 17),
    "PNG turned by late Exif": lambda: png(chunk(b"eXIf", exif()[6:]), late=True),
    "PNG turned by late XMP": lambda: png(chunk(b"iTXt", XMP_TEXT), late=True),
    "PNG turned by late text": lambda: png(
        chunk(
            b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n\n\n" + exif().hex().encode())
        ),
        late=True,
    ),
    "PNG with late text named as metadata": lambda: png(chunk(b"tEXt", b"xmp\0a"), late=True),
    "PNG turned behind its first frame": lambda: film(chunk(b"eXIf", exif()[6:])),
    "PNG turned by text": lambda: png(chunk(b"tEXt", b"exif\0" + exif())),
    "PNG with Exif that counts twice": lambda: png(
        chunk(b"eXIf", directory((700, 7, 60, 0), (40092, 7, 60, 0), tail=bytes(40)))
    ),
    "PNG with many profiles": lambda: png(
        chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(999))) * MOST_EARLY_CHUNKS
    ),
    "WebP of 1,500 chunks": lambda: webp(*[(b"abcd", b"")] * 1500),
    "WebP with much Exif": lambda: file_of("WEBP", exif=exif(tag_40092=bytes(1_200_000))),
    "TIFF whose XMP turns it": lambda: file_of("TIFF", tiffinfo={700: XMP}),
    "TIFF whose pages go in a circle": lambda: circular(file_of("TIFF")),
    "TIFF of 64 bits": lambda: file_of("TIFF", big_tiff=True),
    "TIFF whose tags share a blob": lambda: tiff(
        *[(tag, 7, 1000, 8) for tag in range(65_000, 65_020)], tail=bytes(2000)
    ),
    "TIFF of very many entries": lambda: tiff(*[(tag, 3, 1, 0) for tag in range(40_000, 41_001)]),
    "TIFF of many small numbers": lambda: tiff((65_000, 6, MOST_VALUES + 1, 8), tail=bytes(99_999)),
    "JPEG with nonsense for Exif": lambda: jpeg(segment(0xE1, b"Exif\0\0nonsense")),
}
"""Files that are images nevertheless."""

REFUSED = {
    "TIFF of two pages": lambda: pages("TIFF"),
    "TIFF of very many strips": lambda: tiff(
        (273, 4, MOST_VALUES + 1, 74), tail=struct.pack("<L", 8) * (MOST_VALUES + 1)
    ),
    "TIFF whose strips are bytes": lambda: tiff((273, 1, MOST_VALUES + 1, 8), tail=bytes(99_999)),
    "BigTIFF that lies far outside": lambda: b"II+\0\x08\0\0\0" + b"\xff" * 99,
    "TIFF that lies outside": lambda: b"II*\0\xff\xff\xff\xff" + bytes(99),
    "JPEG with a marker that is reserved": lambda: jpeg(b"\xff\xc8\0\2"),
    "cut TIFF": lambda: file_of("TIFF", exif=exif())[:50],
    "cut JPEG": lambda: file_of("JPEG")[:100],
    "JPEG of start marks": lambda: b"\xff\xd8" * 99,
    "text like a TIFF": lambda: b"MMXXIV, an image of the year",
}
"""Files that are none, or not acceptable; some of them would be cheap."""


@pytest.fixture
def take(tmp_path, monkeypatch):
    """Takes a file in, where no header may be read in this process."""

    def read(*_):
        raise AssertionError("a header was read in this process")

    def taken(data):
        (tmp_path / "a.jpg").write_bytes(data)
        source, corpus = Store(str(tmp_path)), Corpus(path=str(tmp_path))
        file = SourceFile("a", "a.jpg", len(data), "v")
        (image,) = intake.accept_files(source, [file], corpus, LIMITS)
        return image

    monkeypatch.setattr(acceptance, "read_header", read)
    return taken


@pytest.mark.parametrize("name", PLAIN)
def test_what_cameras_and_programs_write_is_plain(name):
    assert is_plain(PLAIN[name]())


@pytest.mark.parametrize("name", [*DECODED, *REFUSED])
def test_what_is_dear_to_read_or_may_be_shown_otherwise_is_not_plain(name):
    assert not is_plain({**DECODED, **REFUSED}[name]())


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it finds
@pytest.mark.parametrize("name", DECODED)
def test_an_image_that_is_not_plain_has_the_size_that_its_decoder_gives(take, name):
    data = DECODED[name]()
    found, expected = take(data), decode(data, LIMITS).shape
    assert (found.height, found.width, 3) == expected
    assert found.extension == extension_in(data) == read_header(data, LIMITS).extension
    assert found.data == data


@pytest.mark.parametrize("file_format", ["bmp", "png", "webp", "jpeg", "tiff"])
def test_a_plain_image_has_the_ending_that_its_header_tells(file_format):
    data = encode(np.full((9, 9, 3), 7, np.uint8), file_format)
    assert extension_in(data) == read_header(data, LIMITS).extension


@pytest.mark.parametrize("name", [name for name in DECODED if "turn" in name])
def test_what_turns_an_image_in_an_unusual_place_does_turn_it(take, name):
    found = take(DECODED[name]())
    assert (found.width, found.height) == (16, 24)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_plain_is_refused_with_its_decoders_reason(take, name):
    data = REFUSED[name]()
    with pytest.raises(ImageRefused) as refusal:
        decode(data, LIMITS)
    assert take(data) == Refused(key="a", source="a.jpg", reason=str(refusal.value))


@pytest.mark.parametrize("name", PLAIN)
def test_the_header_of_a_plain_image_says_what_its_decoder_gives(name):
    data = PLAIN[name]()
    header = read_header(data, LIMITS)
    assert (header.height, header.width, 3) == decode(data, LIMITS).shape


@pytest.mark.parametrize("name", NO_IMAGES)
def test_what_is_no_image_is_plain_and_refused_by_its_header(name):
    data = NO_IMAGES[name]()
    assert is_plain(data)
    with pytest.raises(ImageRefused):
        read_header(data, LIMITS)


def test_a_png_of_endless_chunks_is_not_plain():
    assert not is_plain(png(chunk(b"IDAT") * MOST_CHUNKS, late=True))
    assert not is_plain(png(chunk(b"abCd") * (MOST_CHUNKS + 1)))


@pytest.mark.parametrize("name", PLAIN)
def test_fragments_are_judged_too(name):
    whole = PLAIN[name]()[:3000]
    for size in range(0, len(whole), 7):
        assert is_plain(whole[:size]) in (True, False)


def test_files_with_any_bytes_changed_are_judged_too():
    rng = np.random.default_rng(3)
    for name in PLAIN:
        whole = PLAIN[name]()[:400]
        for _ in range(100 if whole else 0):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(0, 256)
            assert is_plain(bytes(data)) in (True, False)


def test_the_photographs_of_the_tests_are_plain(test_data):
    files = [path for path in (test_data / "images").rglob("*.*") if path.suffix != ".md"]
    pictures = [path for path in files if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    assert len(pictures) > 100
    assert [path for path in pictures if not is_plain(path.read_bytes())] == []


def test_reading_a_header_inflates_no_pixels():
    data = bytearray(png())
    place = data.index(b"IDAT") + 4
    data[place : place + 8] = b"\xff" * 8
    assert read_header(bytes(data), LIMITS).width == 24
    with pytest.raises(ImageRefused, match="damaged"):
        decode(bytes(data), LIMITS)


def test_what_is_opened_by_pillow_has_a_rule_or_no_pieces(monkeypatch):
    judged = []
    monkeypatch.setattr(
        headers,
        "_FORMATS",
        [(signature, ending, judged.append) for signature, ending, _ in headers._FORMATS],
    )
    for file_format in FORMATS:
        is_plain(file_of(file_format))
    assert len(judged) == len(FORMATS) - 1
