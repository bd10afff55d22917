"""Images of any depth resized and cropped, with their alpha and what they say."""

import numpy as np
import pytest

from tasks.io.images import Limits, Metadata, Raster, fit_to
from tasks.io.images.raster import full_intensity

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
SAID = Metadata(icc=b"profile", exif=b"II*\0", xmp=b"<x/>", resolution=(300.0, 300.0))


def image(kind, alpha=False, grey=False, height=40, width=60):
    full = full_intensity(np.dtype(kind))
    values = (
        np.random.default_rng(0)
        .random((height, width, 1 if grey else 3))
        .repeat(3 if grey else 1, -1)
    )
    values = values.astype(np.float32) if full == 1 else np.rint(values * full)
    plane = np.zeros((height, width))
    plane[: height // 2] = full
    return Raster(
        pixels=values.astype(kind),
        alpha=plane.astype(kind) if alpha else None,
        is_grey=grey,
        file_format="tiff",
        bits=12,
        metadata=SAID,
    )


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_all_but_the_size_stays(kind, alpha, grey):
    given = image(kind, alpha, grey)
    made = fit_to(given, 20, 16, LIMITS, resize_filter="area")
    assert made.pixels.shape == (16, 16, 3)
    assert (made.depth, made.is_grey, made.metadata) == (given.depth, grey, SAID)
    assert (made.file_format, made.bits) == ("tiff", 12)
    assert (made.alpha is None) == (not alpha)
    if not alpha:
        squares = given.pixels.astype(float).reshape(20, 2, 30, 2, 3).mean((1, 3))[2:18, 7:23]
        step = 1 if full_intensity(given.depth) > 1 else 1e-6
        np.testing.assert_allclose(made.pixels, squares, atol=step)
    if grey:
        assert np.ptp(made.pixels, axis=-1).max() == 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_colours_under_transparent_pixels_do_not_show(kind):
    full = full_intensity(np.dtype(kind))
    pixels, alpha = np.zeros((40, 60, 3), kind), np.zeros((40, 60), kind)
    pixels[:, 31:], alpha[:, :31] = full, full  # white, and hidden, beside black
    given = Raster(pixels=pixels, alpha=alpha)
    made = fit_to(given, 20, None, LIMITS)
    assert made.pixels[made.alpha > full / 100].max() == 0
    assert 0 < made.alpha[5, 15] < full


def test_a_crop_takes_alpha_along():
    given = image(np.uint8, alpha=True)
    made = fit_to(given, None, 20, LIMITS)
    np.testing.assert_array_equal(made.pixels, given.pixels[10:30, 20:40])
    np.testing.assert_array_equal(made.alpha, given.alpha[10:30, 20:40])


def test_what_overshoots_is_clipped_and_not_wrapped():
    pixels = np.zeros((40, 60, 3), np.uint16)
    pixels[:, 30:] = 65535
    made = fit_to(Raster(pixels=pixels), 90, None, LIMITS)
    assert (made.pixels[:, 70:] > 60_000).all()
    assert (made.pixels[:, :60] < 5_000).all()
