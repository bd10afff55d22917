"""PNGs of every kind are decoded to the pixels that libpng gives, or refused truly."""

import itertools
import struct
import zlib

import numpy as np
import pytest
import torch
from torchvision.io import ImageReadMode, decode_png

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, read_header
from tests.support.pictures import decode, raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)
HEIGHT, WIDTH = 13, 19
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [
    *itertools.product([0], (1, 2, 4, 8, 16)),
    *itertools.product([3], (1, 2, 4, 8)),
    *itertools.product((2, 4, 6), (8, 16)),
]
PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
"""Adam7: first row and column, and steps down and across."""


def chunk(kind, content, harm=0):
    checksum = zlib.crc32(kind + content) ^ harm
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def rows_of(samples, bits):
    """Rows of packed samples, each behind its filter, the first neighbour's (Sub)."""
    flat = samples.reshape(len(samples), -1)
    if bits == 16:
        packed = flat.astype(">u2").view(np.uint8)
    else:
        digits = flat[..., None] >> np.arange(bits - 1, -1, -1) & 1
        packed = np.packbits(digits.reshape(len(flat), -1).astype(np.uint8), axis=1)
    step = max(1, samples.shape[2] * bits // 8)
    before = np.pad(packed, ((0, 0), (step, 0)))[:, : packed.shape[1]]
    return b"".join(b"\1" + row.tobytes() for row in packed - before)


def png(samples, colour, bits, interlaced=False, early=(), late=(), harm=0):
    """A PNG of samples (h, w, c), with chunks before its pixels and behind them."""
    header = struct.pack(">IIBBBBB", samples.shape[1], len(samples), bits, colour, 0, 0, interlaced)
    parts = [samples]
    if interlaced:
        parts = [samples[top::down, left::across] for top, left, down, across in PASSES]
    rows = zlib.compress(b"".join(rows_of(part, bits) for part in parts if part.size))
    early = ([chunk(b"PLTE", palette(bits).tobytes())] if colour == 3 else []) + list(early)
    middle = len(rows) // 2
    pixels = chunk(b"IDAT", rows[:middle]) + chunk(b"IDAT", rows[middle:], harm)
    body = chunk(b"IHDR", header) + b"".join(early) + pixels + b"".join(late)
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def palette(bits):
    return np.random.default_rng(bits).integers(0, 256, (1 << bits, 3), dtype=np.uint8)


def samples_of(colour, bits, size=(HEIGHT, WIDTH)):
    samples = np.random.default_rng(colour).integers(0, 1 << bits, (*size, CHANNELS[colour]))
    if colour in (4, 6):
        samples[..., -1] = (1 << bits) - 1
    return samples


def in_rgb(samples, colour, bits):
    """The pixels that the specification gives for samples, without alpha."""
    if colour == 3:
        return palette(bits)[samples[..., 0]]
    full = 255 if bits <= 8 else 65535
    levels = np.rint(samples.astype(float) * (full / ((1 << bits) - 1))).astype(int)
    return np.repeat(levels[..., :1], 3, axis=2) if colour in (0, 4) else levels[..., :3]


def refusal(data):
    with pytest.raises(ImageRefused) as caught:
        decode(data, LIMITS)
    return str(caught.value)


def by_libpng(data, mode):
    """The pixels (h, w, c) that torchvision decodes, by its own libpng."""
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return decode_png(encoded, mode).permute(1, 2, 0).numpy().astype(int)


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), KINDS)
def test_every_kind_of_png_is_decoded_as_libpng_does(colour, bits, interlaced):
    samples = samples_of(colour, bits)
    data = png(samples, colour, bits, interlaced)
    pixels = decode(data, LIMITS)
    np.testing.assert_array_equal(pixels, in_rgb(samples, colour, bits))
    assert pixels.dtype == (np.uint16 if bits == 16 else np.uint8)
    np.testing.assert_array_equal(pixels, by_libpng(data, ImageReadMode.RGB))


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[0] in (0, 2)])
@pytest.mark.parametrize("interlaced", [False, True])
def test_the_transparent_colour_of_a_png_is_found_in_all_its_bits(colour, bits, interlaced):
    samples = samples_of(colour, bits)
    absent = next(
        level
        for level in itertools.product(range(1 << bits), repeat=CHANNELS[colour])
        if bits < 8 or not (samples == level).all(axis=-1).any()
    )
    if bits < 8:
        samples[(samples == absent).all(axis=-1)] = (1 << bits) - 1
    for level, is_transparent in ((samples[5, 6], True), (absent, False)):
        for upper in {0, 0xFFFF & ~((1 << bits) - 1)}:  # bits that count for nothing
            numbers = [int(number) | upper for number in level]
            transparency = chunk(b"tRNS", struct.pack(f">{len(numbers)}H", *numbers))
            data = png(samples, colour, bits, interlaced, [transparency])
            if is_transparent and bits == 1:  # all are of the one level that is not absent
                assert refusal(data) == "transparent everywhere"
                continue
            found = raster(data, LIMITS)
            np.testing.assert_array_equal(found.pixels, in_rgb(samples, colour, bits))
            if is_transparent:
                full = 65535 if bits == 16 else 255
                shown = np.where((samples == level).all(axis=-1), 0, full)
                np.testing.assert_array_equal(found.alpha, shown)
            else:
                assert found.alpha is None


def test_a_colour_that_differs_from_the_transparent_one_in_its_last_bit_is_opaque():
    samples = np.full((HEIGHT, WIDTH, 3), 0x1234)
    transparency = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x1234, 0x1235))
    assert raster(png(samples, 2, 16, early=[transparency]), LIMITS).alpha is None


@pytest.mark.parametrize(("colour", "bits"), [kind for kind in KINDS if kind[0] in (4, 6)])
def test_alpha_is_looked_at_in_all_its_bits(colour, bits):
    samples = samples_of(colour, bits)
    samples[2, 3, -1] -= 1
    found = raster(png(samples, colour, bits), LIMITS)
    np.testing.assert_array_equal(found.alpha, samples[..., -1])
    assert found.is_grey == (colour == 4)


def test_a_palettes_transparency_is_that_of_the_colours_that_are_shown():
    samples = samples_of(3, 4) % 8
    for index, is_shown in ((7, True), (9, False)):
        alpha = bytes(254 if number == index else 255 for number in range(16))
        data = png(samples, 3, 4, early=[chunk(b"tRNS", alpha)])
        found = raster(data, LIMITS)
        np.testing.assert_array_equal(found.pixels, in_rgb(samples, 3, 4))
        if is_shown:
            np.testing.assert_array_equal(found.alpha, 255 - (samples[..., 0] == 7))
        else:
            assert found.alpha is None


def test_a_colour_that_the_palette_has_not_is_damage():
    samples = samples_of(3, 8)
    data = png(samples, 3, 8)
    short = data.replace(
        chunk(b"PLTE", palette(8).tobytes()), chunk(b"PLTE", palette(8)[:100].tobytes())
    )
    assert refusal(short) == "damaged: a pixel has a colour that its palette has not"


@pytest.mark.parametrize(
    "text",
    [
        (b"tEXt", b"Comment\0made by hand"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"made by hand")),
        (b"iTXt", b"Title\0\0\0\0\0a title"),
        (b"tIME", struct.pack(">HBBBBB", 2024, 2, 3, 4, 5, 6)),
        (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        (b"iCCP", b"profile\0\0" + zlib.compress(bytes(200))),
        (b"abCd", b"what only its maker knows"),
    ],
)
def test_a_bad_checksum_of_what_does_not_matter_harms_no_image(text):
    for (colour, bits), place in itertools.product([(2, 8), (2, 16), (4, 16)], ["early", "late"]):
        samples = samples_of(colour, bits)
        data = png(samples, colour, bits, **{place: [chunk(*text, harm=1)] * 2})
        assert read_header(data, LIMITS).width == WIDTH
        np.testing.assert_array_equal(decode(data, LIMITS), in_rgb(samples, colour, bits))


@pytest.mark.parametrize(
    "needed",
    [
        (b"tRNS", struct.pack(">3H", 1, 2, 3)),
        (b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta/>"),
        (b"PLTE", bytes(30)),
    ],
)
def test_a_bad_checksum_of_what_may_change_the_image_is_damage(needed):
    data = png(samples_of(2, 8), 2, 8, early=[chunk(*needed, harm=1)])
    assert refusal(data).startswith("damaged: ")


def test_a_bad_checksum_of_pixels_is_damage():
    """The pixels may be wrong without it: of stored or literal bytes zlib knows no fault."""
    data = png(samples_of(2, 8), 2, 8, harm=1)
    assert refusal(data) == "damaged: the checksum of its chunk IDAT is wrong, or it is cut off"


def test_a_png_without_its_end_has_all_its_pixels():
    samples = samples_of(2, 8)
    np.testing.assert_array_equal(decode(png(samples, 2, 8)[:-12], LIMITS), samples)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("height", [HEIGHT - 1, HEIGHT - 8])
@pytest.mark.parametrize(("colour", "bits"), [(0, 1), (0, 8), (2, 8), (2, 16), (3, 2), (6, 8)])
def test_a_png_of_too_few_rows_is_damaged(interlaced, height, colour, bits):
    """Pillow would leave the others black."""
    samples = samples_of(colour, bits)
    whole = png(samples, colour, bits, interlaced)
    part = png(samples[:height], colour, bits, interlaced)
    assert refusal(whole[:33] + part[33:]).startswith("damaged: ")


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "bits"), [(0, 1), (0, 8), (2, 8), (2, 16), (3, 2)])
def test_a_png_whose_last_rows_are_black_is_whole(interlaced, colour, bits):
    samples = samples_of(colour, bits)
    samples[-3:] = 0
    data = png(samples, colour, bits, interlaced)
    np.testing.assert_array_equal(decode(data, LIMITS), in_rgb(samples, colour, bits))


def test_a_png_with_more_data_than_pixels_shows_its_pixels():
    samples = samples_of(2, 8)
    samples[-1] = 0
    whole, more = png(samples, 2, 8), png(np.vstack([samples] * 2), 2, 8)
    np.testing.assert_array_equal(decode(whole[:33] + more[33:], LIMITS), samples)


@pytest.mark.parametrize("kind", [b"tEXt", b"CgBI"])
def test_a_png_that_does_not_begin_with_its_header_is_refused(kind):
    """Pillow reads it, while depth and colours are looked up where the header belongs."""
    data = png(samples_of(0, 16), 0, 16)
    late = data[:8] + chunk(kind, b"a\0b") + data[8:]
    assert (
        refusal(late) == f"PNG that begins with a chunk {kind.decode()} is not read; save it anew"
    )


def test_a_png_with_a_chunk_that_a_reader_must_know_is_refused():
    data = png(samples_of(2, 8), 2, 8, early=[chunk(b"ABCD", b"")])
    assert refusal(data) == "PNG with the unknown chunk ABCD is not read; save it anew"


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS"])
def test_a_png_with_a_second_palette_or_transparent_colour_is_refused(kind):
    """libpng takes the first one, and Pillow the last."""
    early = [chunk(kind, bytes(6)), chunk(kind, b"\1" * 6)]
    data = png(samples_of(2, 8), 2, 8, early=early)
    assert refusal(data) == f"PNG with a second chunk {kind.decode()} is not read; save it anew"
