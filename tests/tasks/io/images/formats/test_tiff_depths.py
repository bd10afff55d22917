"""TIFFs of many bits by independent writers are decoded at full depth; damage is refused."""

import io
import struct

import numpy as np
import pytest
import tifffile

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tests.support.pictures import raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)
PACKINGS = (None, "zlib", "lzw", "zstd", "packbits", "lzma")


def written(samples, **how):
    out = io.BytesIO()
    tifffile.imwrite(out, samples, **{"metadata": None, "photometric": "rgb", **how})
    return out.getvalue()


def refusal(data, **wanted):
    with pytest.raises(ImageRefused) as caught:
        raster(data, LIMITS, **wanted)
    return str(caught.value)


@pytest.fixture
def wide():
    return np.random.default_rng(3).integers(0, 1 << 16, (45, 61, 3), dtype=np.uint16)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (32, 16)},
        {"planarconfig": "separate"},
        {"planarconfig": "separate", "tile": (16, 32)},
        {"bigtiff": True},
    ],
)
def test_sixteen_bits_come_back_however_they_are_packed(wide, packing, order, how):
    if how.get("bigtiff") and order == ">":
        how = {}  # a row that names it
    samples = np.moveaxis(wide, -1, 0) if "planarconfig" in how else wide
    options = {**how, "compression": packing, "byteorder": order}
    if packing not in (None, "packbits"):
        options["predictor"] = True
    found = raster(written(samples, **options), LIMITS)
    np.testing.assert_array_equal(found.pixels, wide)
    assert (found.bits, found.is_grey, found.file_format) == (16, False, "tiff")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("packing", [None, "zlib", "lzw"])
@pytest.mark.parametrize("order", "<>")
def test_floating_point_numbers_are_taken_as_they_are(kind, packing, order):
    values = np.random.default_rng(0).random((33, 21, 3)).astype(kind)
    options = {} if packing is None else {"predictor": True}
    data = written(values, compression=packing, byteorder=order, **options)
    found = raster(data, LIMITS)
    np.testing.assert_array_equal(found.pixels, values.astype(np.float32))
    assert (found.pixels.dtype, found.bits) == (np.float32, 32)


def test_grey_floating_point_numbers_are_grey():
    values = np.random.default_rng(0).random((33, 21)).astype(np.float32)
    found = raster(written(values, photometric="minisblack"), LIMITS)
    assert found.is_grey
    np.testing.assert_array_equal(found.pixels, np.stack([values] * 3, axis=-1))


@pytest.mark.parametrize(
    ("value", "said"), [(1.5, "0 to 1.5"), (-0.1, "-0.1 to 0"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_floating_point_numbers_outside_of_the_range_are_refused_with_what_they_are(value, said):
    values = np.zeros((16, 16, 3), np.float32)
    values[3, 4, 1] = value
    reason = refusal(written(values))
    assert reason.startswith("floating-point pixels must be in [0, 1], got ")
    assert said in reason
    assert reason.endswith("; scale them")


def test_floating_point_numbers_beyond_the_range_by_rounding_are_clipped():
    values = np.zeros((16, 16, 3), np.float32)
    values[0, 0, 0], values[0, 0, 1] = 1 + 1e-6, -1e-6
    assert raster(written(values), LIMITS).pixels[0, 0].tolist() == [1, 0, 0]


def test_twelve_bits_become_sixteen_of_full_scale():
    samples = np.arange(0, 4096, dtype=np.uint16).reshape(64, 64)
    data = written(samples, photometric="minisblack", bitspersample=12)
    found = raster(data, LIMITS)
    assert (found.bits, found.is_grey) == (12, True)
    expected = np.rint(samples * (65535 / 4095)).astype(np.uint16)
    np.testing.assert_array_equal(found.pixels[..., 1], expected)
    assert found.pixels.max() == 65535


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_colours_that_were_multiplied_by_alpha_are_divided_again(kind):
    rng = np.random.default_rng(1)
    full = 1 if kind == np.float32 else np.iinfo(kind).max
    colours, alpha = rng.random((20, 30, 3)), rng.integers(0, 5, (20, 30)) / 4
    stored = np.dstack([colours * alpha[..., None], alpha]) * full
    stored = stored.astype(kind) if kind == np.float32 else np.rint(stored).astype(kind)
    found = raster(written(stored, extrasamples=["assocalpha"]), LIMITS)
    np.testing.assert_array_equal(found.alpha, stored[..., 3])
    shown = alpha > 0
    step = 4 / np.iinfo(kind).max if kind != np.float32 else 1e-6  # alpha is a quarter at least
    np.testing.assert_allclose(found.pixels[shown] / full, colours[shown], atol=step)
    assert (found.pixels[~shown] == 0).all()


def test_straight_alpha_stays_what_it_is(wide):
    stored = np.dstack([wide, wide[..., :1] // 2])
    found = raster(written(stored, extrasamples=["unassalpha"], compression="lzw"), LIMITS)
    np.testing.assert_array_equal(found.pixels, wide)
    np.testing.assert_array_equal(found.alpha, stored[..., 3])


def test_of_several_pages_the_first_is_taken_where_it_is_asked_for(wide):
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for page in (wide, wide // 2):
            writer.write(page, photometric="rgb", metadata=None)
    assert refusal(out.getvalue()) == "animated or of several pages"
    np.testing.assert_array_equal(raster(out.getvalue(), LIMITS, first_frame=True).pixels, wide)


def test_cmyk_of_sixteen_bits_keeps_them():
    inks = np.random.default_rng(0).integers(0, 1 << 16, (20, 30, 4), dtype=np.uint16)
    found = raster(written(inks, photometric="separated"), LIMITS)
    light = 65535 - inks.astype(float)
    expected = np.rint(light[..., :3] * light[..., 3:] / 65535)
    np.testing.assert_array_equal(found.pixels, expected)


@pytest.mark.parametrize("packing", [None, "zlib", "lzw", "zstd", "lzma"])
def test_packed_data_that_are_cut_are_refused(wide, packing):
    data = written(wide, compression=packing)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags["StripByteCounts"]
    count = bytearray(data)
    struct.pack_into("<L", count, tag.valueoffset, tag.value[0] // 2)
    assert refusal(bytes(count)).startswith("damaged: ")


def test_a_bomb_in_a_strip_unpacks_to_no_more_than_its_pixels():
    import zlib

    small = written(np.zeros((16, 16, 3), np.uint16), compression="zlib")
    with tifffile.TiffFile(io.BytesIO(small)) as file:
        tags = file.pages[0].tags
        places = tags["StripOffsets"].valueoffset, tags["StripByteCounts"].valueoffset
    bomb = zlib.compress(bytes(500 << 20), 9)
    data = bytearray(small + bomb)
    struct.pack_into("<L", data, places[0], len(small))
    struct.pack_into("<L", data, places[1], len(bomb))
    assert refusal(bytes(data)).startswith("damaged: ")
