"""Colours in sRGB: against the formulas, against Pillow's LittleCMS, at every depth."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tasks.io.images import Limits
from tasks.io.images.conversion import colour
from tasks.io.images.conversion.colour import converted, in_srgb, is_converted
from tasks.io.images.metadata.profiles import srgb_profile
from tasks.io.images.raster import Metadata, Raster
from tests.support.colour_profiles import built, display_p3, grey
from tests.support.pictures import raster

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)
WHITE = (0.3127, 0.3290)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
GAMMA = 2.2


def to_xyz(primaries):
    """The matrix from linear RGB to XYZ, by the primaries' and the white's chromaticities."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    x, y = WHITE
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def by_formula(values):
    """Display P3 with a gamma of 2.2 in sRGB, values in [0, 1]."""
    linear = values**GAMMA @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(P3)).T
    linear = linear.clip(0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


@pytest.fixture(scope="module")
def profile():
    primaries = [number for x, y in P3 for number in (x, y, 1.0)]
    return imagecodecs.cms_profile(
        "rgb", whitepoint=(*WHITE, 1.0), primaries=primaries, gamma=GAMMA
    )


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).random((60, 70, 3))


@pytest.mark.parametrize(
    ("kind", "most"),
    [(np.uint8, 1 / 255), (np.uint16, 60 / 65535), (np.float32, 60 / 65535)],
)
def test_display_p3_becomes_srgb_as_the_formulas_say(values, profile, kind, most):
    """LittleCMS rounds matrices to 16 bits, which shows in the dark, where sRGB is steep."""
    full = 1.0 if kind == np.float32 else np.iinfo(kind).max
    stored = (values * full).astype(kind) if full == 1 else np.rint(values * full).astype(kind)
    given = Raster(pixels=stored, metadata=Metadata(icc=profile, exif=b"II*\0", xmp=b"<x/>"))
    made = in_srgb(given)
    assert made.pixels.dtype == kind
    assert np.abs(made.pixels / full - by_formula(stored / full)).max() <= most
    assert made.metadata == given.metadata._replace(icc=srgb_profile())
    assert is_converted(made)


def test_sixteen_bits_are_those_of_pillows_little_cms_at_eight(values, profile):
    narrow = np.rint(values * 255).astype(np.uint8)
    one, other = (ImageCms.ImageCmsProfile(io.BytesIO(p)) for p in (profile, srgb_profile()))
    intent = ImageCms.Intent.PERCEPTUAL
    expected = ImageCms.profileToProfile(Image.fromarray(narrow), one, other, intent)
    np.testing.assert_array_equal(converted(narrow, profile), np.asarray(expected))
    wide = converted(narrow.astype(np.uint16) * 257, profile)
    assert np.abs(wide / 257 - np.asarray(expected)).max() < 1


def test_an_image_is_converted_where_it_is_decoded(values, profile):
    wide, out = np.rint(values * 65535).astype(np.uint16), io.BytesIO()
    tifffile.imwrite(out, wide, photometric="rgb", metadata=None, iccprofile=profile)
    kept, made = raster(out.getvalue(), LIMITS), raster(out.getvalue(), LIMITS, srgb=True)
    np.testing.assert_array_equal(kept.pixels, wide)
    assert (kept.metadata.icc, made.metadata.icc) == (profile, srgb_profile())
    assert np.abs(made.pixels / 65535 - by_formula(wide / 65535)).max() <= 60 / 65535


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_stays_grey_and_its_curve_becomes_srgbs(values, kind):
    full = np.iinfo(kind).max
    levels = np.rint(values[..., 0] * full).astype(kind)
    given = Raster(
        pixels=np.stack([levels] * 3, -1), is_grey=True, metadata=Metadata(icc=grey(1.8))
    )
    made = in_srgb(given)
    linear = (levels / full) ** 1.8
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    assert np.ptp(made.pixels, axis=-1).max() == 0
    assert (
        np.abs(made.pixels[..., 0] / full - expected).max()
        <= (1.5 if kind == np.uint8 else 400) / full
    )
    assert made.metadata.icc == srgb_profile(is_grey=True)


@pytest.mark.parametrize("icc", [b"", "srgb", "lcms"])
def test_what_is_srgb_already_is_left_alone(values, icc):
    icc = {"srgb": srgb_profile(), "lcms": imagecodecs.cms_profile("srgb")}.get(icc, b"")
    given = Raster(pixels=np.rint(values * 255).astype(np.uint8), metadata=Metadata(icc=icc))
    assert in_srgb(given) is given


def test_a_profile_that_opens_and_cannot_be_converted_from_is_left_out_with_a_remark(values):
    given = Raster(
        pixels=np.rint(values * 255).astype(np.uint8), metadata=Metadata(icc=built(b"RGB ", {}))
    )
    made = in_srgb(given)
    np.testing.assert_array_equal(made.pixels, given.pixels)
    assert made.metadata.icc == b""
    assert made.remark == "colour profile left out: LittleCMS cannot convert from it"


def cmyk_profile():
    """A profile of CMYK whose table makes of inks what filters would, in Lab."""
    steps = np.linspace(0, 1, 5)
    inks = np.stack(np.meshgrid(*[steps] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    light = (1 - inks[:, :3]) * (1 - inks[:, 3:])
    rgb = Image.fromarray(np.rint(light * 255).astype(np.uint8)[None])
    lab = ImageCms.profileToProfile(
        rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    table = np.asarray(lab)[0].astype(int)
    table[:, 1:] = (table[:, 1:] + 128) % 256  # Pillow's have a sign
    body = b"mft1" + bytes(4) + bytes([4, 3, 5, 0])
    body += b"".join(int(n * 65536).to_bytes(4, "big") for n in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    body += bytes(range(256)) * 4 + table.astype(np.uint8).tobytes() + bytes(range(256)) * 3
    made = bytearray(built(b"CMYK", {b"A2B0": body}))
    made[12:16], made[20:24] = b"prtr", b"Lab "
    return bytes(made)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_cmyk_with_a_profile_is_converted_by_it(kind):
    inks = np.random.default_rng(0).integers(0, 256, (20, 30, 4)) * (np.iinfo(kind).max // 255)
    out, profile = io.BytesIO(), cmyk_profile()
    tifffile.imwrite(out, inks.astype(kind), photometric="separated", metadata=None,
                     iccprofile=profile)  # fmt: skip
    found = raster(out.getvalue(), LIMITS)
    assert found.remark == ""
    one, other = (ImageCms.ImageCmsProfile(io.BytesIO(p)) for p in (profile, srgb_profile()))
    narrow = Image.fromarray((inks // (np.iinfo(kind).max // 255)).astype(np.uint8), "CMYK")
    expected = ImageCms.profileToProfile(
        narrow, one, other, ImageCms.Intent.PERCEPTUAL, outputMode="RGB"
    )
    full = np.iinfo(kind).max
    difference = np.abs(found.pixels / full - np.asarray(expected) / 255)
    assert difference.max() <= 4 / 255  # another way between the points of the table
    assert found.metadata.icc == srgb_profile()
    assert found.pixels.dtype == kind


def test_cmyk_whose_profile_is_useless_is_taken_as_without_one():
    inks = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    files = []
    for icc in (None, built(b"CMYK", {})):
        out = io.BytesIO()
        tifffile.imwrite(out, inks, photometric="separated", metadata=None, iccprofile=icc)
        files.append(raster(out.getvalue(), LIMITS))
    np.testing.assert_array_equal(files[0].pixels, files[1].pixels)
    assert files[1].remark == "colour profile left out: LittleCMS cannot convert from it"
    assert files[1].metadata.icc == b""


def test_what_makes_little_cms_quick_is_left_out_for_sixteen_bits(values, profile, monkeypatch):
    """With it, saturated colours are wrong by thousands of levels of 65535."""
    wide = np.rint(values * 65535).astype(np.uint16)
    exact = np.abs(converted(wide, profile) - by_formula(wide / 65535) * 65535).max()
    monkeypatch.setattr(colour, "_NO_OPTIMISATION", 0)
    quick = np.abs(converted(wide, profile) - by_formula(wide / 65535) * 65535).max()
    assert exact < 60
    assert quick > 1000


def test_a_profile_of_display_p3_by_its_numbers_changes_colours():
    narrow = np.full((8, 8, 3), (200, 30, 30), np.uint8)
    made = in_srgb(Raster(pixels=narrow, metadata=Metadata(icc=display_p3())))
    assert made.pixels[0, 0, 0] > 210
