"""JPEG XLs of any depth by independent writers; without the library they are refused."""

import io
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.images.formats.jxl import Header, _boxes, _codestream
from tasks.io.images.headers import extension_in, is_plain
from tests.support.pictures import raster

pillow_jxl = pytest.importorskip("pillow_jxl")

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)


def samples(bits, channels=3, height=40, width=48):
    whole = np.random.default_rng(bits).integers(0, 1 << bits, (height, width, channels))
    return whole.astype(np.uint8 if bits == 8 else np.uint16)


def jxl(whole, bits=8, **options):
    whole = whole[..., 0] if whole.shape[2] == 1 else whole
    return imagecodecs.jpegxl_encode(whole, lossless=True, bitspersample=bits, **options)


def by_pillow(**options):
    out = io.BytesIO()
    Image.fromarray(samples(8)).save(out, "JXL", lossless=True, **options)
    return out.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("in_boxes", [False, True])
def test_a_lossless_jpeg_xl_comes_back_at_full_scale(bits, channels, in_boxes):
    whole = samples(bits, channels)
    data = jxl(whole, bits, usecontainer=in_boxes)
    found = raster(data, LIMITS)
    full = 255 if bits == 8 else 65535
    expected = np.rint(whole * (full / ((1 << bits) - 1))).astype(whole.dtype)
    assert (found.bits, found.file_format, found.is_grey) == (bits, "jxl", channels < 3)
    colours = np.repeat(expected[..., :1], 3, axis=2) if channels < 3 else expected[..., :3]
    np.testing.assert_array_equal(found.pixels, colours)
    if channels in (2, 4):
        np.testing.assert_array_equal(found.alpha, expected[..., -1])
    assert (is_plain(data), extension_in(data)) == (False, "jxl")


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_floating_point_numbers_are_taken_as_they_are(kind):
    values = np.random.default_rng(0).random((40, 48, 3)).astype(kind)
    found = raster(imagecodecs.jpegxl_encode(values, lossless=True), LIMITS)
    np.testing.assert_allclose(found.pixels, values.astype(np.float32), atol=1e-7)
    assert (found.pixels.dtype, found.bits) == (np.float32, 32)


def test_floating_point_numbers_outside_of_the_range_are_refused():
    values = np.full((40, 48, 3), 3.5, np.float32)
    with pytest.raises(ImageRefused, match=r"must be in \[0, 1\], got 3.5 to 3.5; scale them"):
        raster(imagecodecs.jpegxl_encode(values, lossless=True), LIMITS)


SIZES = [
    *((8, 8), (256, 256), (40, 48), (9, 9), (100, 120), (30, 40), (90, 160), (64, 80), (50, 100)),
    *((513, 10), (10, 9000), (41, 1), (777, 333)),
]
"""Height and width; the first ones stand in a certain ratio."""


@pytest.mark.parametrize("size", SIZES)
def test_the_size_is_read_from_the_first_bits(size):
    data = imagecodecs.jpegxl_encode(np.zeros((*size, 3), np.uint8), lossless=True)
    header = Header.of(_codestream(data, list(_boxes(data))))
    assert (header.height, header.width, header.bits) == (*size, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_codestream_says_and_its_exif_is_made_to_agree(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    found = raster(by_pillow(exif=exif.tobytes()), LIMITS)
    np.testing.assert_array_equal(found.pixels, samples(8))  # the codestream says upright
    said = Image.Exif()
    said.load(found.metadata.exif)
    assert (said[0x010F], said[0x0112]) == ("a camera", 1)


def test_a_jpeg_packed_anew_has_its_pixels_profile_and_exif():
    profile = imagecodecs.cms_profile("adobergb")
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "a camera"
    waves = np.rint(127 + 90 * np.sin(np.arange(40 * 48 * 3) / 40)).reshape(40, 48, 3)
    picture = Image.fromarray(waves.astype(np.uint8))
    picture.save(out, "JPEG", quality=95, subsampling=0, icc_profile=profile, exif=exif)
    packed = imagecodecs.jpegxl_encode_jpeg(out.getvalue(), usecontainer=True)
    found, plain = raster(packed, LIMITS), raster(out.getvalue(), LIMITS)
    assert np.abs(found.pixels.astype(int) - plain.pixels).max() <= 3  # another inverse transform
    assert ImageCms.getProfileDescription(profile_of(found)) == ImageCms.getProfileDescription(
        profile_of(plain)
    )
    assert found.metadata.exif == plain.metadata.exif


def profile_of(found):
    return ImageCms.ImageCmsProfile(io.BytesIO(found.metadata.icc))


def test_an_animation_is_refused_unless_its_first_frame_is_asked_for():
    frames = np.stack([samples(8), 255 - samples(8)])
    data = imagecodecs.jpegxl_encode(frames, lossless=True)
    assert Header.of(_codestream(data, list(_boxes(data)))).is_animated
    with pytest.raises(ImageRefused, match=r"^animated or of several pages$"):
        raster(data, LIMITS)
    np.testing.assert_array_equal(raster(data, LIMITS, first_frame=True).pixels, frames[0])


@pytest.mark.parametrize("library", ["pillow_jxl", "imagecodecs"])
def test_without_the_library_the_reason_names_the_extra(library, monkeypatch):
    data = jxl(samples(8))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImageRefused, match="JPEG XL is read where the extra `jxl` is installed"):
        raster(data, LIMITS)


def test_the_size_is_looked_at_before_the_pixels():
    with pytest.raises(ImageRefused, match="too many pixels: 48×40, limit 1000"):
        raster(jxl(samples(8)), Limits(max_pixels=1000, max_bytes=1 << 20))


@pytest.mark.parametrize("in_boxes", [False, True])
def test_what_is_cut_is_refused(in_boxes):
    data = jxl(samples(10), 10, usecontainer=in_boxes)
    for size in (2, 5, 12, 20, 40, len(data) // 2, len(data) - 9):
        with pytest.raises(ImageRefused, match=r"^(damaged|no image)"):
            raster(data[:size], LIMITS)
