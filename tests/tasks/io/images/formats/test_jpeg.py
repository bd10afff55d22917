"""Whole JPEGs of all kinds are decoded, and damaged ones are refused, not filled with grey."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, read_header
from tasks.io.images.formats.jpeg_scans import scans_of
from tests.support.pictures import decode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)
KINDS = {
    "baseline": {"quality": 92},
    "optimised": {"quality": 92, "optimize": True},
    "full colour": {"quality": 92, "subsampling": 0},
    "progressive": {"quality": 92, "progressive": True},
    "restarts": {"quality": 92, "restart_marker_rows": 1},
    "many restarts": {"quality": 92, "restart_marker_blocks": 1},
    "progressive with restarts": {"quality": 92, "progressive": True, "restart_marker_rows": 2},
}
END = b"\xff\xd9"


@pytest.fixture(scope="module")
def colour():
    """A photograph's kind of signal: smooth, with noise upon it; no side is whole blocks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:150, 0:203]
    waves = 128 + 80 * np.sin(0.07 * x + 0.05 * y)[..., None] * np.array([1, 0.5, -0.8])
    return (waves + rng.normal(0, 12, (150, 203, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture
def jpeg(colour):
    def make(kind, mode="RGB", image=colour):
        out = io.BytesIO()
        Image.fromarray(image).convert(mode).save(out, "JPEG", **KINDS[kind])
        return out.getvalue()

    return make


def refusal(data):
    with pytest.raises(ImageRefused) as caught:
        decode(data, LIMITS)
    return str(caught.value)


def middle(data, share=0.5):
    """A place within the data of the scans."""
    start = next(iter(scans_of(data))).head
    return len(start) + int((len(data) - len(start)) * share)


def overwritten(data, stretch, share=0.5):
    place = middle(data, share)
    return data[:place] + stretch + data[place + len(stretch) :]


def of_height(data, height):
    """The JPEG whose frame says that it has this height."""
    data = bytearray(data)
    place = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    data[place : place + 2] = struct.pack(">H", height)
    return bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_has_the_pixels_that_pillow_gives(jpeg, kind, mode):
    data = jpeg(kind, mode)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(image.convert("RGB")))


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_has_the_pixels_of_another_library(jpeg, kind):
    data = jpeg(kind)
    other = decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
    difference = np.abs(decode(data, LIMITS).astype(int) - other.permute(1, 2, 0).numpy())
    assert difference.max() <= 2  # builds of libjpeg may round differently


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("quality", [5, 75, 100])
def test_drawings_without_texture_are_whole_too(options, quality):
    """Their blocks take so few bits that many stand in what libjpeg looks ahead."""
    y, x = np.mgrid[0:97, 0:131]
    drawings = (
        np.full((97, 131), 255),
        np.where((x + y) % 2, 0, 255),
        np.where((x % 8) + (y % 8), 100, 108),
        x,
        np.random.default_rng(0).integers(0, 256, (97, 131)),
    )
    for drawing in drawings:
        out = io.BytesIO()
        Image.fromarray(drawing.astype(np.uint8)).save(out, "JPEG", quality=quality, **options)
        for data in (out.getvalue(), out.getvalue()[:-2]):
            assert decode(data, LIMITS).shape == (97, 131, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_is_cut_and_ended_is_refused(jpeg, kind):
    data = jpeg(kind)
    for share in (0.0, 0.1, 0.5, 0.9, 0.99):
        cut = data[: middle(data, share)]
        assert refusal(cut + END).startswith("damaged: ")
        assert refusal(cut).startswith("damaged: ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [512, 4096])
def test_a_jpeg_with_zeroed_sectors_is_refused(jpeg, kind, size):
    data = jpeg(kind)
    for share in (0.1, 0.3, 0.5):
        assert refusal(overwritten(data, bytes(size), share)).startswith("damaged: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_taller_than_its_scan_is_refused(jpeg, kind):
    for height in (2 * 150, 150 + 16):
        assert refusal(of_height(jpeg(kind), height)).startswith("damaged: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_with_more_data_than_pixels_is_refused(jpeg, kind):
    reason = refusal(of_height(jpeg(kind), 100))
    assert reason.startswith(("damaged: the data of its scan go on", "damaged: restart markers"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_has_all_pixels_and_no_end_is_whole(jpeg, kind):
    data = jpeg(kind)
    np.testing.assert_array_equal(decode(data[:-2], LIMITS), decode(data, LIMITS))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filling", [b"\0" * 3, b"\0" * 500, b"\xff" * 9, b"\x5a" * 30])
def test_a_jpeg_that_is_filled_up_before_its_end_is_whole(jpeg, kind, filling):
    data = jpeg(kind)
    filled = data[:-2] + filling + END + b"whatever follows"
    np.testing.assert_array_equal(decode(filled, LIMITS), decode(data, LIMITS))


def test_a_jpeg_that_has_lost_a_piece_between_restart_markers_is_refused(jpeg):
    data = jpeg("restarts")
    pieces = next(iter(scans_of(data))).pieces
    assert len(pieces) > 3
    assert "restart markers" in refusal(data.replace(pieces[2], b""))
    assert "restart markers" in refusal(data.replace(pieces[2], pieces[2][:1] + b"\xd5"))
    shorter = data.replace(pieces[2], pieces[2][: len(pieces[2]) // 2])
    assert "before the last pixel" in refusal(shorter)


def test_a_progressive_jpeg_without_its_last_scans_is_refused(jpeg):
    data = jpeg("progressive")
    scans = list(scans_of(data))
    for count in range(1, len(scans)):
        kept = b"".join(scan.head + b"".join(scan.pieces) for scan in scans[:count])
        assert refusal(kept + END) == "damaged: scans are missing"


def test_a_jpeg_with_a_component_in_each_scan_is_decoded_and_missed(jpeg):
    """Split by hand, of a grey JPEG: three frames' worth of the same component."""
    grey = jpeg("baseline", "L")
    (scan,) = scans_of(grey)
    frame = grey.index(b"\xff\xc0")
    size = grey[frame + 5 : frame + 9]
    parts = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    new_frame = b"\xff\xc0\x00\x11\x08" + size + b"\x03" + parts
    start = grey.index(b"\xff\xda")
    head = grey[:frame] + new_frame + grey[frame + 13 : start]
    scans = [
        b"\xff\xda\x00\x08\x01" + bytes([number, 0, 0, 63, 0]) + scan.pieces[0]
        for number in (1, 2, 3)
    ]
    assert decode(head + b"".join(scans) + END, LIMITS).shape == (150, 203, 3)
    assert refusal(head + b"".join(scans[:2]) + END) == "damaged: scans are missing"


@pytest.mark.parametrize("process", [1, 3, 5, 9, 10])
def test_a_kind_of_jpeg_whose_damage_is_not_found_is_refused(jpeg, process):
    data = jpeg("baseline").replace(b"\xff\xc0", bytes([0xFF, 0xC0 + process]))
    if process == 1:
        assert decode(data, LIMITS).shape == (150, 203, 3)
        return
    reason = f"JPEG of the kind SOF{process} with 3 components of 8 bits is not read; save it"
    for read in (read_header, decode):
        with pytest.raises(ImageRefused, match=reason):
            read(data, LIMITS)


def test_a_jpeg_that_says_its_height_at_its_end_is_refused_for_that(jpeg):
    assert refusal(of_height(jpeg("baseline"), 0)).startswith("JPEG whose height stands behind")


def exif(*entries):
    """Exif that turns an image, with more entries of tag, type, count and value."""
    entries = sorted([(0x0112, 3, 1, 6), *entries])
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return struct.pack("<4sLH", b"II*\0", 8, len(entries)) + packed + bytes(4)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some of them
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "entry",
    [
        (0x0128, 4, 1, 70_000),  # a unit of 16 bits, written with 32
        (0x0100, 2, 4, 0x00333231),  # a width in letters
        (0x8769, 2, 4, 0x00333231),  # the place of other tags, in letters
        (0x8769, 4, 1, 1 << 31),  # that place, outside of the file
        (0x011A, 5, 1, 1 << 31),  # a resolution that lies there
        (0xC4A5, 99, 1, 7),  # a type that does not exist
    ],
)
def test_an_image_is_turned_whatever_other_tags_its_exif_has(colour, file_format, entry):
    out = io.BytesIO()
    Image.fromarray(colour).save(out, file_format, exif=b"Exif\0\0" + exif(entry))
    data = out.getvalue()
    assert decode(data, LIMITS).shape == (203, 150, 3)
    header = read_header(data, LIMITS)
    assert (header.height, header.width) == (203, 150)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("nonsense", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_exif_that_is_none_harms_no_image(colour, file_format, nonsense):
    out = io.BytesIO()
    Image.fromarray(colour).save(out, file_format, exif=nonsense)
    assert decode(out.getvalue(), LIMITS).shape == (150, 203, 3)


@pytest.mark.slow
def test_no_real_photograph_is_called_damaged(test_data):
    files = [
        path for path in (test_data / "images").rglob("*.*") if path.suffix in (".jpg", ".JPEG")
    ]
    assert len(files) > 100
    refused = {}
    for path in files:
        try:
            decode(path.read_bytes(), Limits(max_pixels=1 << 26, max_bytes=1 << 26))
        except ImageRefused as refusal:
            refused[path.name] = str(refusal)
    assert refused == {}
