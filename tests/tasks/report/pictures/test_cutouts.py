"""Cut-outs of images: where, and without loss."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tasks.io.images import Metadata, Raster
from tasks.io.images.conversion.shown import Shown
from tasks.report.pictures.cutouts import SIDE, Box, cut_out, textured_box


def decoded(address):
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def photograph():
    """Flat grey but for texture on the right below, and one hard edge on the left."""
    pixels = np.full((600, 900, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    pixels[344:, 644:] = rng.integers(60, 200, (256, 256, 3), dtype=np.uint8)
    pixels[:, 40] = 255
    return pixels


def test_the_region_with_the_most_texture_is_shown_without_loss(photograph):
    box = textured_box(photograph)
    assert box == Box(344, 644, 600, 900)
    found = cut_out(Shown(photograph, b""), box)
    np.testing.assert_array_equal(decoded(found.address), photograph[344:, 644:])
    assert (found.width, found.height) == (SIDE, SIDE)
    assert decoded(found.whole).shape == photograph.shape


def test_a_small_image_is_shown_whole(photograph):
    small = photograph[400:440, 700:800]
    found = cut_out(Shown(small, b""), textured_box(small))
    np.testing.assert_array_equal(decoded(found.address), small)
    assert (found.width, found.height, found.whole) == (100, 40, None)


def test_a_version_of_another_size_is_shown_in_its_middle(photograph):
    found = cut_out(Shown(photograph[:300, :300], b""), Box(344, 644, 600, 900))
    np.testing.assert_array_equal(decoded(found.address), photograph[22:278, 22:278])


def test_a_large_image_is_made_smaller_as_a_whole():
    pixels = np.zeros((1500, 2000, 3), np.uint8)
    found = cut_out(Shown(pixels, b""), textured_box(pixels))
    assert decoded(found.whole).shape == (768, 1024, 3)


def test_a_page_shows_deep_and_transparent_images_in_8_bits_on_white_with_their_profile():
    pixels = np.array([[[0, 32768, 65535]] * 2], np.uint16)
    alpha = np.array([[65535, 0]], np.uint16)
    profile = bytes(16) + b"RGB " + bytes(8)
    shown = Shown.of(Raster(pixels=pixels, alpha=alpha, metadata=Metadata(icc=profile)))
    assert shown.pixels.tolist() == [[[0, 128, 255], [255, 255, 255]]]
    assert shown.icc == profile
    for_grey = Metadata(icc=bytes(16) + b"GRAY" + bytes(8))
    assert Shown.of(Raster(pixels=pixels, is_grey=True, metadata=for_grey)).icc == b""
