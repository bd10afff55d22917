"""AVIFs of 8, 10 and 12 bits, grey and with alpha, by independent writers."""

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.images.headers import extension_in, is_plain
from tests.support.pictures import raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)


def samples(bits, channels=3, height=40, width=48):
    whole = np.random.default_rng(bits).integers(0, 1 << bits, (height, width, channels))
    return whole.astype(np.uint8 if bits == 8 else np.uint16)[
        ..., : channels if channels > 1 else 1
    ]


def at_full_scale(whole, bits):
    return whole if bits == 8 else np.rint(whole * (65535 / ((1 << bits) - 1))).astype(np.uint16)


def avif(whole, bits=8):
    whole = whole[..., 0] if whole.shape[2] == 1 else whole
    return imagecodecs.avif_encode(whole, level=100, bitspersample=bits)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_lossless_avif_comes_back_at_full_scale(bits, channels):
    whole = samples(bits, channels)
    data = avif(whole, bits)
    found, expected = raster(data, LIMITS), at_full_scale(whole, bits)
    assert (found.bits, found.file_format, found.is_grey) == (bits, "avif", channels == 1)
    colours = np.repeat(expected, 3, axis=2) if channels == 1 else expected[..., :3]
    np.testing.assert_array_equal(found.pixels, colours)
    if channels == 4:
        np.testing.assert_array_equal(found.alpha, expected[..., 3])
    assert (is_plain(data), extension_in(data)) == (False, "avif")


def test_grey_with_alpha_is_grey():
    found = raster(avif(samples(8, 2)), LIMITS)
    assert found.is_grey
    assert found.alpha is not None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 10])
def test_an_avif_is_turned_as_its_boxes_say_whatever_the_exif_says(orientation, bits):
    """Pillow writes the orientation into the boxes irot and imir, and reads it from there."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    picture, out = Image.fromarray(samples(8, 3)), io.BytesIO()
    picture.save(out, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    data = out.getvalue()
    found = raster(data, LIMITS)
    with Image.open(io.BytesIO(data)) as image:
        from PIL import ImageOps

        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(found.pixels, expected)
    said = Image.Exif()
    said.load(found.metadata.exif)
    assert said[0x010F] == "a camera"
    assert said.get(0x0112, 1) == 1


def test_of_an_animation_the_first_frame_is_taken_where_it_is_asked_for():
    waves = np.rint(127 + 90 * np.sin(np.arange(48) / 9))[None, :, None].repeat(40, 0).repeat(3, 2)
    whole, out = waves.astype(np.uint8), io.BytesIO()
    frames = [Image.fromarray(whole), Image.fromarray(255 - whole)]
    frames[0].save(out, "AVIF", save_all=True, append_images=frames[1:], quality=100)
    with pytest.raises(ImageRefused, match=r"^animated or of several pages$"):
        raster(out.getvalue(), LIMITS)
    first = raster(out.getvalue(), LIMITS, first_frame=True).pixels
    assert np.abs(first.astype(int) - whole).mean() < 3  # it is lossy


def test_the_size_is_looked_at_before_the_pixels():
    with pytest.raises(ImageRefused, match="too many pixels: 48×40, limit 1000"):
        raster(avif(samples(8)), Limits(max_pixels=1000, max_bytes=1 << 20))


def test_what_is_cut_is_refused():
    data = avif(samples(10), 10)
    for share in (0.2, 0.5, 0.9):
        with pytest.raises(ImageRefused, match=r"^(damaged|no image)"):
            raster(data[: int(len(data) * share)], LIMITS)
