"""BMPs: their layouts give the pixels that were written, and no colour is made up."""

import struct

import numpy as np
import pytest

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tests.support.pictures import decode, raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)
HEIGHT, WIDTH = 13, 19


def bmp(rows, bits, packing=0, middle=b"", colours=0, height=HEIGHT, masks=b""):
    """A BMP of rows (h, bytes) or packed pixels; a palette or masks in the middle or the header."""
    if not isinstance(rows, bytes):
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    numbers = (WIDTH, height, 1, bits, packing, 0, 0, 0, colours, 0)
    header = struct.pack("<LllHHLLllLL", 40 + len(masks), *numbers) + masks
    start = 14 + len(header) + len(middle)
    return b"BM" + struct.pack("<LHHL", start + len(rows), 0, 0, start) + header + middle + rows


def noise(top, channels):
    return np.random.default_rng(0).integers(0, top, (HEIGHT, WIDTH, channels))


def refusal(data):
    with pytest.raises(ImageRefused) as caught:
        decode(data, LIMITS)
    return str(caught.value)


def test_rows_stand_upside_down_or_not():
    colour = noise(256, 3)
    rows = colour[..., ::-1].astype(np.uint8).reshape(HEIGHT, -1)
    np.testing.assert_array_equal(decode(bmp(rows[::-1], 24), LIMITS), colour)
    np.testing.assert_array_equal(decode(bmp(rows, 24, height=-HEIGHT), LIMITS), colour)


@pytest.mark.parametrize("shift", [0, 8])
@pytest.mark.parametrize("spare", [0, 255])
def test_the_spare_byte_of_32_bits_is_no_alpha(shift, spare):
    colour = noise(256, 3)
    weights = np.array([1 << 16, 1 << 8, 1]) << shift
    pixels = (colour @ weights) | spare << (24 - 3 * shift)
    rows = pixels[::-1].astype("<u4").view(np.uint8)
    masks = struct.pack("<3L", *(255 * weights))
    np.testing.assert_array_equal(decode(bmp(rows, 32, 3, masks), LIMITS), colour)


@pytest.mark.parametrize("bits", [(5, 5, 5), (5, 6, 5)])
def test_colours_of_16_bits_are_scaled(bits):
    tops = (1 << np.array(bits)) - 1
    colour = noise(1 << 16, 3) % (tops + 1)
    shifts = np.array([bits[1] + bits[2], bits[2], 0])
    rows = (colour << shifts).sum(axis=2)[::-1].astype("<u2").view(np.uint8)
    pixels = decode(bmp(rows, 16, 3, struct.pack("<3L", *(tops << shifts))), LIMITS)
    assert np.abs(pixels - colour * 255 / tops).max() <= 1  # Pillow cuts off


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_palette_must_have_the_colours_of_all_pixels(bits):
    count = 1 << bits
    colours = np.random.default_rng(1).integers(0, 256, (count, 4), dtype=np.uint8)
    indices = noise(count, 1)
    digits = indices >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(digits[::-1].reshape(HEIGHT, -1).astype(np.uint8), axis=1)
    whole = bmp(rows, bits, middle=colours.tobytes())
    np.testing.assert_array_equal(decode(whole, LIMITS), colours[indices[..., 0], 2::-1])
    short = bmp(rows, bits, middle=colours[: count // 2].tobytes(), colours=count // 2)
    assert refusal(short) == "damaged: a pixel has a colour that its palette has not"


GREYS = np.repeat(np.arange(256)[:, None], 3, axis=1)
PALETTES = {
    "black and white": np.array([[0] * 3, [255] * 3]),
    "white and black": np.array([[255] * 3, [0] * 3]),
    "black": np.zeros((1, 3), int),
    "levels of grey, all": GREYS,
    "levels of grey, some": GREYS[:5],
    "levels of grey, all of 4 bits": GREYS[::17],
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", PALETTES)
def test_a_palette_that_looks_like_grey_gives_its_colours_and_no_others(name, bits, is_packed):
    """Pillow would take these for levels of 8 bits, or of one, whatever a pixel has."""
    colours = PALETTES[name][: 1 << bits]
    indices = noise(len(colours), 1)
    quads = np.pad(colours, ((0, 0), (0, 1))).astype(np.uint8).tobytes()
    if is_packed and bits > 1:
        runs = [bytes([1, index << 8 - bits]) for index in range(len(colours))]
        rows = [b"".join(runs[index] for index in row) + b"\0\0" for row in indices[::-1, :, 0]]
        rows, packing = b"".join(rows) + b"\0\1", {8: 1, 4: 2}[bits]
    else:
        digits = indices >> np.arange(bits - 1, -1, -1) & 1
        rows = np.packbits(digits[::-1].reshape(HEIGHT, -1).astype(np.uint8), axis=1)
        packing = 0
    data = bmp(rows, bits, packing, quads, len(colours))
    np.testing.assert_array_equal(decode(data, LIMITS), colours[indices[..., 0]])


def test_bytes_of_runs_are_paired_from_the_first_pixel_on():
    indices = noise(7, 1)[..., 0]
    colours = np.random.default_rng(1).integers(0, 256, (256, 4), dtype=np.uint8)
    rows = [bytes([0, WIDTH, *row, *[0] * (WIDTH % 2), 0, 0]) for row in indices[::-1]]
    for room in range(3):
        data = bmp(b"".join(rows) + b"\0\1", 8, 1, colours.tobytes() + bytes(room))
        np.testing.assert_array_equal(decode(data, LIMITS), colours[indices, 2::-1])


def test_alpha_of_16_bits_must_be_opaque():
    masks = struct.pack("<4L", 0x7C00, 0x3E0, 0x1F, 0x8000)
    words = noise(1 << 15, 1)[..., 0] | 0x8000
    rows = words.astype("<u2").view(np.uint8)
    assert decode(bmp(rows, 16, 3, masks=masks), LIMITS).shape == (HEIGHT, WIDTH, 3)
    words[3, 4] &= 0x7FFF
    harmed = bmp(words.astype("<u2").view(np.uint8), 16, 3, masks=masks)
    alpha = np.full((HEIGHT, WIDTH), 255)
    alpha[HEIGHT - 1 - 3, 4] = 0  # rows stand from the bottom up
    np.testing.assert_array_equal(raster(harmed, LIMITS).alpha, alpha)


def test_run_lengths_that_end_before_the_last_pixel_are_damage():
    indices = noise(256, 1)[::-1, :, 0]
    colours = np.random.default_rng(1).integers(0, 256, (256, 4), dtype=np.uint8)
    rows = [b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in indices]
    for kept in (HEIGHT, HEIGHT - 1, 3):
        data = bmp(b"".join(rows[:kept]) + b"\0\1", 8, 1, colours.tobytes())
        if kept == HEIGHT:
            np.testing.assert_array_equal(decode(data, LIMITS), colours[indices[::-1], 2::-1])
        else:
            assert refusal(data).startswith("damaged: ")


def test_a_kind_of_bmp_that_pillow_does_not_know_is_not_called_damaged():
    rows = np.zeros((HEIGHT, WIDTH * 4), np.uint8)
    masks = struct.pack("<3L", 0x3FF00000, 0xFFC00, 0x3FF)
    for data in (bmp(rows, 32, 3, masks), bmp(rows[:, :20], 2)):
        assert refusal(data).startswith("of a kind that is not read (Unsupported BMP")
