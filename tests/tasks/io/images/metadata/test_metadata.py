"""Profile, Exif, XMP and resolution are found in every format; damaged ones are left out."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from tasks.io.images import Limits, read_header
from tasks.io.images.metadata import profiles
from tasks.io.images.metadata.orientation import upright_exif
from tests.support.colour_profiles import built, display_p3, grey
from tests.support.pictures import raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:title="a title"/></x:xmpmeta>'
UPRIGHT = XMP.replace(b'"6"', b'"1"')


@pytest.fixture
def colour(pixels):
    return pixels(1, 20, 30)


def exif_of(orientation=6):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    exif.get_ifd(0x8769)[0x829A] = 0.5  # exposure time
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def file_of(image, file_format, **options):
    out = io.BytesIO()
    if file_format == "TIFF" and "xmp" in options:
        exif = options.pop("exif")  # of which Pillow would leave out what is below
        options["tiffinfo"] = info = TiffImagePlugin.ImageFileDirectory_v2()
        info[700] = options.pop("xmp")
        info[274], info[271] = exif[274], exif[271]
        info[34665], info[34853] = exif.get_ifd(34665), exif.get_ifd(34853)
    if file_format == "PNG" and "xmp" in options:
        options["pnginfo"] = info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode())
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        out, file_format, **options
    )
    return out.getvalue()


def exif_in(found):
    said = Image.Exif()
    said.load(found.metadata.exif)
    return said


@pytest.mark.parametrize("file_format", FORMATS)
def test_profile_exif_xmp_and_resolution_are_found(colour, file_format):
    profile = display_p3()
    options = {"icc_profile": profile, "xmp": XMP, "exif": exif_of()}
    if file_format in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = (300, 150)
    found = raster(file_of(colour, file_format, **options), LIMITS)
    assert found.metadata.icc == profile
    assert found.metadata.xmp == UPRIGHT
    said = exif_in(found)
    assert (said[0x010F], said.get(0x0112, 1)) == ("a camera", 1)
    assert said.get_ifd(0x8769)[0x829A] == 0.5
    assert said.get_ifd(0x8825)[1] == "N"
    assert found.pixels.shape == (30, 20, 3)
    assert found.remark == ""
    if "dpi" in options:
        assert found.metadata.resolution == pytest.approx((300, 150), rel=1e-3)


def test_nothing_is_made_up_where_a_file_says_nothing(colour):
    for file_format in ("PNG", "WEBP", "TIFF", "BMP", "AVIF"):
        found = raster(file_of(colour, file_format), LIMITS)
        assert (found.metadata.icc, found.metadata.exif, found.metadata.xmp) == (b"", b"", b"")


def test_of_exif_only_the_orientation_is_changed_and_thumbnails_stay(colour):
    thumbnail = file_of(colour[:8, :8], "JPEG")
    exif = hand_made_exif(thumbnail)
    found = raster(file_of(colour, "JPEG", exif=b"Exif\0\0" + exif), LIMITS).metadata.exif
    assert found == exif[:18] + struct.pack("<H", 1) + exif[20:]
    assert thumbnail in found


def hand_made_exif(thumbnail):
    """Exif whose first directory says turned, and whose second one has a thumbnail."""
    head = struct.pack("<4sLH", b"II*\0", 8, 1) + struct.pack("<HHLHxx", 0x0112, 3, 1, 6)
    start = len(head) + 4
    second = struct.pack("<H", 2) + struct.pack("<HHLL", 0x0201, 4, 1, start + 30)
    second += struct.pack("<HHLL", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    return head + struct.pack("<L", start) + second + thumbnail


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_there_is_not_turns_nothing_and_does_not_stay(colour, orientation):
    found = raster(file_of(colour, "JPEG", exif=exif_of(orientation)), LIMITS)
    assert found.pixels.shape == (20, 30, 3)
    assert exif_in(found)[0x0112] == 1


@pytest.mark.parametrize("kind", ["exif", "xmp", "icc"])
def test_what_imagemagick_writes_as_text_is_found(colour, kind):
    data = {"exif": b"Exif\0\0" + exif_of().tobytes()[6:], "xmp": XMP, "icc": display_p3()}[kind]
    info = PngImagePlugin.PngInfo()
    lines = data.hex()
    info.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(data):8}\n{lines}\n", zip=True)
    found = raster(file_of(colour, "PNG", pnginfo=info), LIMITS)
    if kind == "icc":
        assert found.metadata.icc == data
    else:
        assert found.pixels.shape == (30, 20, 3)
        assert found.metadata.xmp == (UPRIGHT if kind == "xmp" else b"")


def test_a_tiffs_own_tags_become_exif(colour):
    out = io.BytesIO()
    extra = [(271, 2, 0, "a camera", True), (33432, 2, 0, "nobody", True)]
    tifffile.imwrite(out, colour.astype(np.uint16) * 257, photometric="rgb", metadata=None,
                     resolution=(118.11, 118.11), resolutionunit=3, extratags=extra,
                     byteorder=">")  # fmt: skip
    found = raster(out.getvalue(), LIMITS)
    said = exif_in(found)
    assert (said[271], said[33432]) == ("a camera", "nobody")
    assert 273 not in said  # where its pixels lie is no one's business
    assert found.metadata.resolution == pytest.approx((300, 300), rel=1e-3)


PROFILE = display_p3()
DAMAGED = {
    "cut": PROFILE[:200],
    "cut in its header": PROFILE[:50],
    "of nothing": b"\0" * 300,
    "whose tags lie outside": PROFILE[:136] + struct.pack(">L", 1 << 30) + PROFILE[140:],
    "of very many tags": PROFILE[:128] + struct.pack(">L", 1 << 31) + PROFILE[132:],
    "of grey": grey(),
    "of CMYK": built(b"CMYK", {}),
    "that LittleCMS does not know": PROFILE[:8] + b"\x09" + PROFILE[9:],
}


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("harm", DAMAGED)
def test_a_profile_that_is_damaged_or_of_other_colours_is_left_out_with_a_remark(
    colour, file_format, harm
):
    whole = raster(file_of(colour, file_format), LIMITS).pixels
    for wanted in ({}, {"srgb": True}):
        data = file_of(colour, file_format, icc_profile=DAMAGED[harm])
        found = raster(data, LIMITS, **wanted)
        np.testing.assert_array_equal(found.pixels, whole)
        assert found.metadata.icc == b""
        assert found.remark.startswith("colour profile left out: ")


@pytest.mark.parametrize("harm", [h for h in DAMAGED if h != "that LittleCMS does not know"])
def test_a_header_tells_of_a_damaged_profile_without_little_cms(colour, harm, monkeypatch):
    monkeypatch.setattr(profiles.ImageCms, "ImageCmsProfile", None)
    header = read_header(file_of(colour, "JPEG", icc_profile=DAMAGED[harm]), LIMITS)
    assert header.remark.startswith("colour profile left out: ")
    assert read_header(file_of(colour, "JPEG", icc_profile=PROFILE), LIMITS).remark == ""


def test_a_profile_of_grey_stays_with_grey(colour):
    found = raster(file_of(colour[..., 0], "PNG", icc_profile=grey()), LIMITS)
    assert (found.metadata.icc, found.remark) == (grey(), "")
    found = raster(file_of(colour[..., 0], "PNG", icc_profile=PROFILE), LIMITS)
    assert found.metadata.icc == b""
    assert found.remark == (
        "colour profile left out: it is one of RGB, and the image of 1 channels"
    )


def test_a_profile_larger_than_the_image_stays_up_to_the_limit_of_bytes(colour):
    large = PROFILE + bytes(600_000)
    data = file_of(colour, "PNG", icc_profile=large)
    assert raster(data, LIMITS).metadata.icc == large
    small = Limits(max_pixels=1 << 20, max_bytes=100_000)
    assert len(data) < small.max_bytes
    found = raster(data, small)
    assert found.metadata.icc == b""
    assert found.remark == f"colour profile left out: it has {len(large)} bytes"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_left_out_with_a_remark(colour):
    data = file_of(colour, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    found = raster(data, LIMITS)
    assert (found.metadata.exif, found.remark) == (b"", "Exif left out: it is damaged")


def test_resolutions_that_are_none_are_left_out(colour):
    zero = struct.pack(">IIB", 0, 0, 1)
    data = file_of(colour, "PNG")
    chunk = struct.pack(">I", 9) + b"pHYs" + zero + struct.pack(">I", zlib.crc32(b"pHYs" + zero))
    assert raster(data[:33] + chunk + data[33:], LIMITS).metadata.resolution is None


def test_a_ratio_without_a_unit_is_no_resolution(colour):
    out = io.BytesIO()
    tifffile.imwrite(out, colour, photometric="rgb", resolution=(2, 1), resolutionunit=1)
    assert raster(out.getvalue(), LIMITS).metadata.resolution is None
    out = io.BytesIO()
    tifffile.imwrite(out, colour, photometric="rgb", resolution=(100, 50), resolutionunit=3)
    assert raster(out.getvalue(), LIMITS).metadata.resolution == (254, 127)


def test_an_upright_exif_is_left_as_it_is():
    exif = exif_of(1).tobytes()[6:]
    assert upright_exif(exif) == exif


def test_srgbs_own_profile_is_the_same_bytes_at_any_time_and_shows_srgb():
    profiles.srgb_profile.cache_clear()
    first = profiles.srgb_profile()
    profiles.srgb_profile.cache_clear()
    assert profiles.srgb_profile() == first
    assert profiles.complaint(first, 3) is None
    assert profiles.complaint(profiles.srgb_profile(is_grey=True), 1) is None
    opened = ImageCms.ImageCmsProfile(io.BytesIO(first))
    assert "sRGB" in ImageCms.getProfileDescription(opened)
