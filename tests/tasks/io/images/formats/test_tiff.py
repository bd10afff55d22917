"""Every layout of TIFF is decoded to the pixels of an independent reader, or refused truly."""

import io
import itertools
import re
import struct
import zlib
from collections import Counter

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, read_header
from tests.support.pictures import decode, raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 24)
HEIGHT, WIDTH = 21, 35
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
LETTERS = {1: "B", 3: "H", 4: "L", 6: "b", 12: "d", 16: "Q"}

KINDS = (
    (0, 1, None),
    (1, 1, None),
    (1, 2, (0,)),
    (1, 2, (1,)),
    (1, 2, (2,)),
    (1, 3, None),
    (2, 3, None),
    (2, 4, None),
    (2, 4, (0,)),
    (2, 4, (1,)),
    (2, 4, (2,)),
    (2, 5, (1, 0)),
    (2, 6, (0, 0, 0)),
    (3, 1, None),
    (5, 4, None),
    (5, 5, (0,)),
    (8, 3, None),
)
"""Photometric interpretation, samples, and extra samples."""


def tiff(samples, bits=8, photometric=1, order="<", big=False, **how):
    """A TIFF with samples (h, w, c), written by hand in any layout."""
    planar, compression = how.get("planar", 1), how.get("compression", 1)
    count = samples.shape[2]
    planes = np.split(samples, count, axis=2) if planar == 2 else [samples]
    pieces = [piece for plane in planes for piece in cut(plane, how.get("rows"), how.get("tile"))]
    packed = [pack(piece, bits, order, compression, how.get("predictor", 1)) for piece in pieces]
    if how.get("fill", 1) == 2:
        packed = [data.translate(REVERSED) for data in packed]
    tags = {256: (4, [samples.shape[1]]), 257: (4, [samples.shape[0]]), 258: (3, [bits] * count)}
    tags |= {259: (3, [compression]), 262: (3, [photometric]), 277: (3, [count])}
    tags |= {266: (3, [how.get("fill", 1)]), 317: (3, [how.get("predictor", 1)])}
    tags |= {284: (3, [planar])}
    if "tile" in how:
        tags |= {322: (4, [how["tile"]]), 323: (4, [how["tile"]])}
    else:
        tags |= {278: (4, [how.get("rows", samples.shape[0])])}
    if how.get("extra"):
        tags[338] = (3, how["extra"])
    if photometric == 3 and bits <= 8:
        tags[320] = (3, how.get("colours", palette(bits).T.ravel()))
    places = (324, 325) if "tile" in how else (273, 279)
    return assembled(tags | how.get("tags", {}), packed, places, order, big)


def cut(plane, rows, tile):
    """The strips or tiles of a plane, tiles filled up with zeros."""
    if tile is None:
        rows = rows or len(plane)
        return [plane[top : top + rows] for top in range(0, len(plane), rows)]
    right, below = -plane.shape[1] % tile, -plane.shape[0] % tile
    padded = np.pad(plane, ((0, below), (0, right), (0, 0)))
    return [
        padded[top : top + tile, left : left + tile]
        for top in range(0, len(padded), tile)
        for left in range(0, padded.shape[1], tile)
    ]


def pack(piece, bits, order, compression, predictor):
    """The bytes of a strip or tile: rows of whole bytes, packed."""
    if predictor == 2:
        piece = np.diff(piece, axis=1, prepend=0) % (1 << bits)
    rows = piece.reshape(len(piece), -1)
    if bits % 8 == 0:
        rows = rows.astype(f"{order}u{bits // 8}").view(np.uint8)
    else:
        digits = rows[..., None] >> np.arange(bits - 1, -1, -1) & 1
        rows = np.packbits(digits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    if compression == 8:
        return zlib.compress(rows.tobytes())
    if compression == 32773:
        return b"".join(runs(row.tobytes()) for row in rows)
    return rows.tobytes()


def runs(row):
    parts = [row[start : start + 128] for start in range(0, len(row), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def assembled(tags, packed, places, order, big):
    """A TIFF of tags (type, values) and the data of its strips or tiles, which come last."""
    number, entry, room = ("Q", "HHQ", 8) if big else ("L", "HHL", 4)
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HL", 42, 8)
    head = (b"II" if order == "<" else b"MM") + head
    tags = {
        places[1]: (4, [len(data) for data in packed]),
        places[0]: (4, [0] * len(packed)),
    } | tags
    tags = {tag: (given[0], list(given[1])) for tag, given in tags.items() if given is not None}
    size = sum(len(values) * 8 + 1 for _, values in tags.values())  # enough for all values
    start = len(head) + 2 + len(tags) * (len(struct.pack(f"{order}{entry}", 0, 0, 0)) + room) + 16
    first, places_of_data = start + size, []
    for data in packed:
        places_of_data.append(first)
        first += len(data)
    if not any(tags[places[0]][1]):
        tags[places[0]] = (4, places_of_data)
    entries, values_behind = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        value = struct.pack(f"{order}{len(values)}{LETTERS[kind]}", *values)
        if len(value) > room:
            place = struct.pack(order + number, start + len(values_behind))
            values_behind, value = values_behind + value, place
        entries += struct.pack(order + entry, tag, kind, len(values)) + value.ljust(room, b"\0")
    body = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    body += struct.pack(order + number, 0)
    return (head + body).ljust(start, b"\0") + values_behind.ljust(size, b"\0") + b"".join(packed)


def palette(bits):
    """Colours (n, 3) of 16 bits."""
    return np.random.default_rng(bits).integers(0, 256, (1 << bits, 3)) * 257


def read_by_tifffile(data, written):
    """The samples (h, w, c) of a TIFF; those that were written where they need imagecodecs."""
    try:
        samples = tifffile.imread(io.BytesIO(data)).astype(int)
    except NotImplementedError:  # samples of 2, 4 or 12 bits
        return written
    if samples.ndim < 3:
        return samples[..., None]
    return samples if samples.shape[:2] == (HEIGHT, WIDTH) else np.moveaxis(samples, 0, -1)


def in_rgb(samples, bits, photometric):
    """The pixels that the specification gives for samples."""
    if photometric == 3:
        return palette(bits)[samples[..., 0]] >> 8
    full = 255 if bits <= 8 else 65535
    levels = np.rint(samples.astype(float) * (full / ((1 << bits) - 1))).astype(int)
    if photometric in (0, 1):
        levels = np.repeat(levels[..., :1], 3, axis=2)
        return full - levels if photometric == 0 else levels
    if photometric == 2:
        return levels[..., :3]
    return np.rint((full - levels[..., :3]) * (full - levels[..., 3:4]) / full).astype(int)  # CMYK


def divided(colours, alpha, full):
    """Colours that were multiplied by alpha as they were before."""
    divisor = np.maximum(alpha, 1)[..., None]
    return np.where(
        alpha[..., None] > 0, np.minimum((colours * full + divisor // 2) // divisor, full), 0
    )


def layouts():
    for kind, bits in itertools.product(KINDS, (1, 2, 4, 8, 12, 16, 32)):
        for packing in ((1, 1), (8, 1), (8, 2), (32773, 1)):
            if packing[1] == 1 or bits in (8, 16):
                yield kind, bits, packing


ARRANGEMENTS = [
    {"order": order, "big": big, "planar": planar, "fill": fill, **cutting}
    for order, big, planar, fill, cutting in itertools.product(
        "<>", (False, True), (1, 2), (1, 2), ({}, {"rows": 5}, {"tile": 16})
    )
]


def outcome(kind, bits, packing, arrangement, rng):
    """What became of a file: its difference from the expected pixels, or why it is refused."""
    photometric, count, extra = kind
    samples = rng.integers(0, 1 << bits, (HEIGHT, WIDTH, count))
    how = {"compression": packing[0], "predictor": packing[1], "extra": extra}
    data = tiff(samples, bits, photometric, **arrangement, **how)
    try:
        found = raster(data, LIMITS)
    except ImageRefused as refusal:
        return str(refusal)
    samples = read_by_tifffile(data, samples)
    expected, full = in_rgb(samples, bits, photometric), 255 if bits <= 8 else 65535
    assert found.bits == max(bits, 8)
    assert found.is_grey == (photometric in (0, 1))
    assert found.pixels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    if (extra and extra[0]) or (photometric == 2 and count == 4 and not extra):
        alpha = np.rint(samples[..., 1 if photometric == 1 else 3] * (full / ((1 << bits) - 1)))
        np.testing.assert_array_equal(found.alpha, alpha)
        if extra and extra[0] == 1:
            expected = divided(expected, alpha.astype(int), full)
    else:
        assert found.alpha is None
    return int(np.abs(found.pixels - expected).max())


TRUE_REASONS = re.compile(
    r"TIFF ("
    r"of 64 bits \(BigTIFF\), the highest byte first,|"
    r"with \d samples a pixel of \d+ bits in [\w ]+"
    r"( \(ExtraSamples [\d, ]+\))?( in separate planes)?|"
    r"with \w+ samples of 32 bits, whose range is unknown,|"
    r"with the lowest bit first \(FillOrder 2\)"
    r") is not read; save it as grey or RGB of 8 or 16 bits, pixel by pixel"
)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 32])
def test_a_layout_is_decoded_as_tifffile_does_or_refused_for_what_it_has(bits):
    rng = np.random.default_rng(bits)
    found = Counter(
        outcome(kind, depth, packing, arrangement, rng)
        for kind, depth, packing in layouts()
        if depth == bits
        for arrangement in ARRANGEMENTS
    )
    assert [what for what in found if what and not TRUE_REASONS.fullmatch(str(what))] == []
    assert (found[0] > 0) == (bits < 32)  # not all are refused


def test_a_size_of_a_strip_that_is_more_than_it_needs_does_no_harm(samples):
    data = tiff(samples, photometric=2, tags={279: (4, [1 << 20])})
    np.testing.assert_array_equal(decode(data, LIMITS), samples)


@pytest.fixture
def samples():
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3))


def refusal(data):
    with pytest.raises(ImageRefused) as caught:
        decode(data, LIMITS)
    return str(caught.value)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({339: (3, [2] * 3)}, "with signed samples of 8 bits, whose range is unknown,"),
        ({339: (3, [4] * 3)}, "with SampleFormat 4 samples of 8 bits, whose range is unknown,"),
        ({339: (3, [1, 1, 3])}, "with floating-point samples of 8 bits, whose range is unknown,"),
        ({258: (3, [8, 8, 5])}, "with samples of different bits"),
        ({258: (3, [8, 8])}, "without the bits of its samples"),
        ({259: (3, [34712])}, "with compression 34712"),
        ({259: (3, [4])}, "with compression 4"),
        ({259: (3, [5]), 317: (3, [3])}, "with predictor 3 of 8 bits"),
        ({317: (3, [2])}, "with a predictor and compression 1"),
        ({259: (3, [32773]), 317: (3, [2])}, "with a predictor and compression 32773"),
        ({262: (3, [32844])}, "with 3 samples a pixel of 8 bits in photometric interpretation"),
        ({262: None}, "with 3 samples a pixel of 8 bits in photometric interpretation -1"),
        ({262: (3, [6])}, "with 3 samples a pixel of 8 bits in YCbCr without JPEG"),
        ({262: (3, [8])}, "with 3 samples a pixel of 8 bits in CIELAB"),
        ({277: (3, [7])}, "without the bits of its samples"),
        ({277: (3, [7]), 258: (3, [8])}, "with 7 samples a pixel of 8 bits in RGB"),
        ({277: (12, [3.0])}, "with a tag of a wrong type"),
    ],
)
def test_what_is_no_layout_of_the_list_is_refused_by_its_header(samples, tags, reason):
    data = tiff(samples, photometric=2, tags=tags)
    assert refusal(data).startswith(f"TIFF {reason}")
    with pytest.raises(ImageRefused, match="is not read; save it"):
        read_header(data, LIMITS)


def test_cmyk_of_other_inks_is_refused(samples):
    four = np.dstack([samples, samples[..., :1]])
    data = tiff(four, photometric=5, tags={332: (3, [2])})
    assert refusal(data).startswith("TIFF with inks other than CMYK is not read")


def test_a_tag_that_stands_twice_is_refused(samples):
    data = tiff(samples, photometric=2)
    place = data.index(struct.pack("<HHL", 266, 3, 1))
    twice = data[:place] + struct.pack("<HHL", 262, 3, 1) + data[place + 8 :]
    assert refusal(twice).startswith("TIFF with a tag that stands twice is not read")


@pytest.mark.parametrize("cutting", [{"rows": 5}, {"tile": 16}, {}])
@pytest.mark.parametrize("compression", [1, 8, 32773])
@pytest.mark.parametrize("hole", [(0, None), (None, 0), (0, 0), (None, 1), (1 << 30, None)])
def test_a_strip_or_tile_without_its_data_is_refused(samples, cutting, compression, hole):
    """Sparse, cut, or outside: Pillow would show the header of the file, or what lies there."""
    data = tiff(samples, photometric=2, compression=compression, **cutting)
    entries = {tag: place for tag, place in values_of(data).items() if tag in (273, 279, 324, 325)}
    places = [entries[tag] for tag in sorted(entries)]
    harmed = bytearray(data)
    for place, value in zip(places, hole, strict=True):
        if value is not None:
            struct.pack_into("<L", harmed, place, value)
    assert refusal(bytes(harmed)).startswith("damaged: ")


def values_of(data):
    """Where the first value of each tag stands."""
    (start,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    found = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack_from("<HHLL", data, place)
        is_far = values * struct.calcsize("<" + LETTERS.get(kind, "B")) > 4
        found[tag] = value if is_far else place + 8
    return found


def test_a_missing_strip_is_refused_and_so_is_one_too_many(samples):
    whole = tiff(samples, photometric=2, rows=5)
    for rows in (3, 7):
        harmed = bytearray(whole)
        struct.pack_into("<L", harmed, values_of(whole)[278], rows)
        assert "strips or tiles, got 5" in refusal(bytes(harmed))


def test_strips_without_their_sizes_are_read_if_they_are_not_packed(samples):
    assert (decode(tiff(samples, photometric=2, tags={279: None}), LIMITS) == samples).all()


@pytest.mark.parametrize("packing", ["tiff_adobe_deflate", "tiff_lzw", "lzma", "jpeg"])
def test_packed_data_that_are_overwritten_are_refused(packing):
    rng = np.random.default_rng(0)
    picture = (100 + np.arange(120)[:, None, None] + rng.normal(0, 5, (120, 90, 3))).astype(
        np.uint8
    )
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "TIFF", compression=packing)
    whole = out.getvalue()
    place, size = (struct.unpack_from("<L", whole, values_of(whole)[tag])[0] for tag in (273, 279))
    assert decode(whole, LIMITS).shape == picture.shape
    for start in range(place + size // 4, place + size - 100, size // 9):
        harmed = whole[:start] + bytes(64) + whole[start + 64 :]
        assert refusal(harmed).startswith("damaged: ")


@pytest.mark.parametrize("is_rgb", [True, False])
def test_a_jpeg_in_a_tiff_must_have_the_colours_that_the_tags_say(is_rgb):
    """libtiff takes them from the tags, and so shows one of these in false colours."""
    waves = (127 + 90 * np.sin(np.arange(64 * 48 * 3) / 40)).astype(np.uint8).reshape(48, 64, 3)
    out = io.BytesIO()
    Image.fromarray(waves).save(out, "JPEG", quality=95, keep_rgb=is_rgb, subsampling=0)
    tags = {256: (4, [64]), 257: (4, [48]), 258: (3, [8] * 3), 259: (3, [7]), 277: (3, [3])}
    tags |= {278: (4, [48]), 530: (3, [1, 1])}
    right, wrong = ((2, "RGB"), (6, "YCbCr"))[:: 1 if is_rgb else -1]
    data = assembled(tags | {262: (3, [right[0]])}, [out.getvalue()], (273, 279), "<", False)
    assert np.abs(decode(data, LIMITS).astype(int) - waves).mean() < 6
    data = assembled(tags | {262: (3, [wrong[0]])}, [out.getvalue()], (273, 279), "<", False)
    assert refusal(data) == f"damaged: one of its JPEGs is {right[1]}, its tags say {wrong[1]}"


def test_a_palette_of_old_programs_has_colours_of_8_bits(samples):
    colours = palette(8) // 257
    data = tiff(samples[..., :1], photometric=3, colours=colours.T.ravel())
    np.testing.assert_array_equal(decode(data, LIMITS), colours[samples[..., 0]])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("photometric", "extra"), [(1, (1,)), (1, (2,)), (2, (1,)), (2, (2,))])
def test_alpha_is_looked_at_in_all_its_bits(bits, photometric, extra):
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 1 << bits, (HEIGHT, WIDTH, 2 if photometric == 1 else 4))
    samples[..., -1] = (1 << bits) - 1
    data = tiff(samples, bits, photometric, extra=extra)
    np.testing.assert_array_equal(decode(data, LIMITS), in_rgb(samples, bits, photometric))
    samples[3, 4, -1] -= 1
    alpha = raster(tiff(samples, bits, photometric, extra=extra), LIMITS).alpha
    np.testing.assert_array_equal(alpha, samples[..., -1])


@pytest.mark.parametrize("packing", ["tiff_lzw", "jpeg", "lzma", "zstd", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_pillow_packs_comes_back(packing, mode):
    waves = (127 + 90 * np.sin(np.arange(60 * 50 * 3) / 40)).astype(np.uint8).reshape(60, 50, 3)
    picture, out = Image.fromarray(waves).convert(mode), io.BytesIO()
    picture.save(out, "TIFF", compression=packing)
    difference = np.abs(
        decode(out.getvalue(), LIMITS).astype(int) - np.asarray(picture.convert("RGB"))
    )
    assert difference.mean() < (6 if packing == "jpeg" else 1e-9)


def test_a_turned_tiff_of_sixteen_bits_keeps_them(samples):
    wide = samples * 257 + 128 - 257 * (samples == 255)
    data = tiff(wide, 16, 2, tags={274: (3, [6])})
    np.testing.assert_array_equal(decode(data, LIMITS), wide.transpose(1, 0, 2)[:, ::-1])
