"""A plug-in as a format: described by its class, looked at, and told what it cannot hold."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tasks.config.sections import Enhance
from tasks.export.plan import format_of
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images import (
    Form,
    Limits,
    Metadata,
    Raster,
    complaint,
    depth_written,
    encode,
    extension_of,
    missing_library,
    pinned_format,
)
from tasks.io.images.decoder_pool import decode_written
from tests.support.colour_profiles import display_p3
from tests.support.standins.packages_on_path import as_editable, installed, project

NUMPY = """
import io
import numpy as np

class Make:
    extension, signature, lossless = "npy", b"\\x93NUMPY", True
    depths, alpha = ("uint8", "uint16"), True

    def encode(self, pixels):
        out = io.BytesIO()
        np.save(out, pixels)
        return out.getvalue()

    def decode(self, data):
        return np.load(io.BytesIO(data))
"""
PNG = """
import io
from PIL import Image

class Make:
    extension, lossless, carries, longest_side = "png", True, ("icc", "exif"), 100

    def encode(self, pixels, icc, exif):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG", icc_profile=icc or None, exif=exif)
        return out.getvalue()
"""
FORM = Form("plug-in:raw")
LIMITS = Limits(max_pixels=1 << 16, max_bytes=1 << 20)


@pytest.fixture
def bring(tmp_path):
    def bring(code=NUMPY, version="1.0"):
        return installed(tmp_path / "site", project("format", "raw:Make", version), code)

    return bring


@pytest.fixture
def deep():
    return np.random.default_rng(0).integers(0, 1 << 16, (12, 10, 3), np.uint16)


def test_pixels_and_opacity_come_back_at_their_depth(bring, deep):
    raster = Raster(pixels=deep, alpha=deep[..., 0])
    with bring():
        assert extension_of(FORM.of(raster)) == "npy"
        assert missing_library(FORM) is None
        data = encode(raster, FORM)
        assert np.load(io.BytesIO(data)).shape == (12, 10, 4)
        found = decode_written(FORM, data, LIMITS)
        assert np.array_equal(found.pixels, deep)
        assert np.array_equal(found.alpha, deep[..., 0])
        assert found.bits == 16
        floats = Raster(pixels=np.full((12, 10, 3), 0.5, np.float32))
        assert depth_written(floats, FORM) == np.uint16
        assert not FORM.is_lossless  # nobody else reads it
        other = encode(raster, Form("png"))
        assert np.array_equal(decode_written(FORM, other, LIMITS).pixels, deep)


def test_a_grey_image_becomes_three_channels(bring):
    grey = Raster(pixels=np.full((12, 10, 3), 7, np.uint8), is_grey=True)
    with bring():
        assert np.load(io.BytesIO(encode(grey, FORM))).shape == (12, 10, 3)


def test_a_known_ending_is_read_here_and_carries_what_it_says(bring):
    said = Metadata(icc=display_p3(), resolution=(300, 300))
    raster = Raster(pixels=np.full((12, 10, 3), 7, np.uint8), metadata=said)
    with bring(PNG):
        assert FORM.is_lossless
        data = encode(raster, FORM)
        picture = Image.open(io.BytesIO(data))
        assert picture.info["icc_profile"] == said.icc
        assert picture.getexif()[0x011A] == 300
        assert decode_written(FORM, data, LIMITS).metadata.icc == said.icc


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alpha": np.full((12, 10), 9, np.uint8)}, "transparent, which plug-in:raw cannot hold"),
        ({"metadata": Metadata(xmp=b"<x/>")}, "XMP, which plug-in:raw cannot hold; png holds it"),
        ({"pixels": np.zeros((12, 101, 3), np.uint8)}, "too long for plug-in:raw: 101×12, at most"),
    ],
)
def test_what_it_cannot_hold_is_said_and_refused(bring, change, said):
    raster = Raster(**{"pixels": np.zeros((12, 10, 3), np.uint8), **change})
    with bring(PNG):
        assert said in complaint(raster, FORM)
        with pytest.raises(ImageRefused, match=re.escape(said)):
            encode(raster, FORM)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"npy"', '"Npy"', "must have extension, 1 to 4 small letters or digits; ask"),
        ('"npy"', '["npy"]', "must have extension"),
        ('"npy"', '"json"', "must have extension"),
        ('b"\\x93NUMPY"', 'b""', "must have decode and signature, .* files that end in .npy"),
        ("def decode", "def decoded", "must have decode and signature"),
        ("def encode", "def encoded", "must have encode, a function"),
        ('("uint8", "uint16")', '("uint16", "uint8")', "must have depths, some of uint8, uint16"),
        ('("uint8", "uint16")', '("int8",)', "must have depths"),
        (
            "    def encode",
            "    carries = ('gps',)\n    def encode",
            "must have carries, some of icc",
        ),
        ("return out.getvalue()", "return None", "must encode an image as bytes, got NoneType"),
        ("return out.getvalue()", "return b'x'", "that begin with its signature .* got b'x'"),
        ("return out.getvalue()", "return {}[1]", "got KeyError: 1"),
        ("np.load(io.BytesIO(data))", "data", "must decode what it encodes, got: no image: raw"),
        ("np.load(io.BytesIO(data))", "{}[1]", "got: damaged: raw: KeyError: 1"),
        ("np.load(io.BytesIO(data))", "np.load(io.BytesIO(data))[::-1]", "pixels of uint8 that"),
        ("np.load(io.BytesIO(data))", "np.load(io.BytesIO(data))[1:]", r"the shape \(24, 16, 3\)"),
    ],
)
def test_what_is_no_format_is_told_before_a_run(bring, old, new, said):
    assert old in NUMPY
    with bring(NUMPY.replace(old, new)):
        sentence = missing_library(FORM)
    assert re.search(said, str(sentence)), sentence


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'save(out, "PNG"',
            'save(out, "WEBP", lossless=True',
            r"of its ending \.png, got .*\.webp",
        ),
        ("fromarray(pixels)", "fromarray(pixels // 2 * 2)", "pixels of uint8 that it encoded, as"),
        ("return out.getvalue()", "return b'x' * 99", "must decode what it encodes, got: "),
    ],
)
def test_what_a_known_ending_promises_is_tried_out_too(bring, old, new, said):
    assert old in PNG
    with bring(PNG):
        assert missing_library(FORM) is None
    with bring(PNG.replace(old, new)):
        sentence = missing_library(FORM)
    assert re.search(said, str(sentence)), sentence


def test_its_version_is_an_input_and_can_be_pinned(bring):
    with bring():
        package = {"entry": "raw", "package": "dotpipe-raw", "version": "1.0"}
        assert FORM.inputs == FORM.holding == {"format": "plug-in:raw", "plug_in": package}
        assert pinned_format(FORM.format) == "plug-in:raw==1.0"
        assert Form("plug-in:raw==1.0").inputs == FORM.inputs
        assert pinned_format("png") == "png"
    with bring(version="2.0"):
        assert FORM.inputs["plug_in"]["version"] == "2.0"
        with pytest.raises(ConfigurationError, match=r"must be of version 1\.0, got 'raw' of dotp"):
            extension_of("plug-in:raw==1.0")
    with pytest.raises(ConfigurationError, match=r"must name a format that an installed package"):
        extension_of(FORM.format)


def test_the_source_of_an_editable_one_is_pinned_too(bring, tmp_path):
    with as_editable(bring(), tmp_path / "site"):
        sent = pinned_format(FORM.format)
        assert Enhance(format=sent).form.inputs == FORM.inputs
        assert Form(sent).inputs["plug_in"]["source"] in sent
    with (
        as_editable(bring(NUMPY + "\n# another"), tmp_path / "site"),
        pytest.raises(ConfigurationError, match=r"must be of the source files"),
    ):
        extension_of(sent)


@pytest.mark.parametrize("name", ["plug-in:raw", "plug-in:raw==1.0+cpu", "webp", "keep"])
def test_names_are_known_before_a_package_is_looked_for(name):
    assert Enhance(format=name).format == format_of(name) == name


@pytest.mark.parametrize("name", ["plug-in:", "plug-in:a b", "wepb", "plug-in:a==", "raw"])
def test_other_names_are_told(name):
    with pytest.raises(ValueError, match=r"must be one of webp, png, .* or plug-in:NAME"):
        Enhance(format=name)
    with pytest.raises(ConfigurationError, match="--format must be one of webp, png"):
        format_of(name)
