"""What is made of an image file on its way into a shard, and what is left as it is."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.config.corpora import Corpus
from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.images.metadata.profiles import srgb_profile
from tasks.shard.acceptance import accepted
from tasks.shard.inputs import shared_inputs
from tests.support.colour_profiles import display_p3
from tests.support.pictures import raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)


def taken(data, **options):
    return accepted("a", "a.png", data, Corpus(path="/c", **options), LIMITS)


def file_of(image, file_format="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(image).save(out, file_format, **options)
    return out.getvalue()


def tiff(samples, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, samples, **{"photometric": "rgb", "metadata": None, **options})
    return out.getvalue()


@pytest.fixture
def colour(pixels):
    return pixels(1, 20, 30)


@pytest.fixture
def wide(colour):
    return colour.astype(np.uint16) * 256 + 7


def test_any_file_is_kept_byte_for_byte_where_nothing_is_asked(colour, wide):
    files = {
        "png": file_of(colour, icc_profile=display_p3()),
        "tif": tiff(wide, iccprofile=display_p3()),
        "jxl": imagecodecs.jpegxl_encode(wide, lossless=True),
        "avif": imagecodecs.avif_encode(wide >> 6, bitspersample=10),
    }
    for extension, data in files.items():
        image = taken(data)
        assert image.data == data
        assert (image.extension, image.width, image.height) == (extension, 30, 20)
        assert image.reason is None


@pytest.mark.parametrize("depth", [8, 16])
def test_colours_are_converted_to_srgb_at_their_depth_where_that_is_asked(colour, wide, depth):
    data = file_of(colour, icc_profile=display_p3()) if depth == 8 else None
    data = data or tiff(wide, iccprofile=display_p3(), extratags=[(271, 2, 0, "a camera", True)])
    image = taken(data, colour="srgb")
    expected, found = raster(data, LIMITS, srgb=True), raster(image.data, LIMITS)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.bits, found.metadata.icc) == (depth, srgb_profile())
    assert image.extension == ("webp" if depth == 8 else "png")
    assert (b"a camera" in found.metadata.exif) == (depth == 16)


def test_what_has_no_other_colours_than_srgbs_is_kept(colour, wide):
    own, unsaid = file_of(colour, icc_profile=imagecodecs.cms_profile("srgb")), file_of(colour)
    for data in (own, unsaid, tiff(wide)):
        assert taken(data, colour="srgb").data == data


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_written_anew_where_that_is_asked(colour, file_format):
    frames, out = [Image.fromarray(colour), Image.fromarray(255 - colour)], io.BytesIO()
    options = {"lossless": True} if file_format == "WEBP" else {}
    frames[0].save(out, file_format, save_all=True, append_images=frames[1:], **options)
    with pytest.raises(ImageRefused, match="animated or of several pages"):
        taken(out.getvalue())
    image = taken(out.getvalue(), frames="first")
    if file_format != "AVIF":  # which is lossy
        np.testing.assert_array_equal(raster(image.data, LIMITS).pixels, colour)
    assert image.extension == "webp"
    one = file_of(colour)
    assert taken(one, frames="first").data == one


@pytest.mark.parametrize("options", [{"resize": 10}, {"crop": 12}])
def test_a_resized_or_cropped_image_keeps_depth_alpha_grey_and_what_its_file_says(wide, options):
    alpha = np.linspace(0, 65535, 600).astype(np.uint16).reshape(20, 30)
    data = tiff(np.dstack([wide, alpha]), extrasamples=["unassalpha"], iccprofile=display_p3())
    found = raster(taken(data, **options).data, LIMITS)
    assert (found.pixels.dtype, found.alpha.dtype) == (np.uint16, np.uint16)
    assert found.metadata.icc == display_p3()
    grey = tiff(wide[..., 0], photometric="minisblack")
    found = raster(taken(grey, **options).data, LIMITS)
    assert (found.is_grey, found.pixels.dtype) == (True, np.uint16)
    floats = tiff((wide / 65535).astype(np.float32))
    assert raster(taken(floats, **options).data, LIMITS).pixels.dtype == np.float32


def test_a_profile_that_is_left_out_stands_in_the_index(colour):
    for options in ({}, {"resize": 10}, {"colour": "srgb"}):
        image = taken(file_of(colour, icc_profile=b"no profile" * 20), **options)
        assert image.reason == "colour profile left out: it is no profile"


def test_fingerprints_have_colour_and_frames_where_they_are_no_defaults(steps):
    config = steps("/w", {"restored": "/r", "natural": "/n"}).config
    plain = shared_inputs(config, Corpus(path="/n"))
    assert not {"colour", "frames", "made_anew"} & plain.keys()
    other = shared_inputs(config, Corpus(path="/n", colour="srgb", frames="first", crop=8))
    assert (other["colour"], other["frames"], other["made_anew"]) == ("srgb", "first", 2)


def test_of_a_file_whose_profile_cannot_be_converted_from_no_profile_goes_along(colour):
    curveless = bytes(imagecodecs.cms_profile("gray"))
    image = taken(file_of(colour[..., 0], icc_profile=curveless), colour="srgb")
    assert image.reason == "colour profile left out: LittleCMS cannot convert from it"
    assert raster(image.data, LIMITS).metadata.icc == b""
