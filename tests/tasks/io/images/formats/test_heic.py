"""HEICs of 8, 10 and 12 bits by an independent writer; without the library they are refused."""

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.images.decoding import decode
from tasks.io.images.headers import extension_in, is_plain
from tests.support.pictures import raster

pillow_heif = pytest.importorskip("pillow_heif")

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 22)
KINDS = [("L", 1), ("RGB", 3), ("RGBA", 4), ("I;16", 1), ("RGB;16", 3), ("RGBA;16", 4)]


def samples(mode, channels):
    kind = np.uint16 if mode.endswith("16") else np.uint8
    y, x = np.mgrid[0:40, 0:48]
    waves = [0.5 + 0.4 * np.sin(0.2 * x + 0.1 * (c + 1) * y) for c in range(channels)]
    return np.rint(np.stack(waves, axis=-1) * np.iinfo(kind).max).astype(kind)


def heic(whole, mode, monkeypatch, bits=10, **options):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    file = pillow_heif.from_bytes(mode, (48, 40), np.ascontiguousarray(whole).tobytes())
    out = io.BytesIO()
    file.save(out, quality=-1, chroma=444, **options)
    return out.getvalue()


@pytest.mark.parametrize(("mode", "channels"), KINDS)
@pytest.mark.parametrize("bits", [10, 12])
def test_a_heic_without_loss_comes_back_at_full_scale(mode, channels, bits, monkeypatch):
    whole = samples(mode, channels)
    data = heic(whole, mode, monkeypatch, bits)
    found = raster(data, LIMITS)
    is_deep = whole.dtype == np.uint16
    assert (found.bits, found.file_format) == (bits if is_deep else 8, "heic")
    assert (found.is_grey, found.pixels.dtype) == (channels == 1, whole.dtype)
    step = 2 * 65535 / ((1 << bits) - 1) if is_deep else 2  # YCbCr rounds by a step or so
    colours = np.repeat(whole, 3, axis=2) if channels == 1 else whole[..., :3]
    np.testing.assert_allclose(found.pixels.astype(int), colours, atol=step)
    if channels == 4:
        np.testing.assert_allclose(found.alpha.astype(int), whole[..., 3], atol=step)
    assert (is_plain(data), extension_in(data)) == (False, "heic")


def test_full_intensity_is_that_of_sixteen_bits(monkeypatch):
    white = np.full((40, 48, 3), 65535, np.uint16)
    assert (raster(heic(white, "RGB;16", monkeypatch), LIMITS).pixels == 65535).all()


def test_profile_exif_and_xmp_are_found_and_the_exif_says_upright(monkeypatch):
    """libheif turns an image by its boxes alone, so an orientation in Exif is a lie."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {"exif": exif.tobytes(), "xmp": b"<x/>", "icc_profile": profile}
    file, out = pillow_heif.from_pillow(Image.fromarray(samples("RGB", 3))), io.BytesIO()
    file.save(out, quality=-1, chroma=444, **options)
    found = raster(out.getvalue(), LIMITS)
    assert found.metadata.icc == profile
    assert found.metadata.xmp == b"<x/>"
    said = Image.Exif()
    said.load(found.metadata.exif)
    assert (said[0x010F], said[0x0112]) == ("a camera", 1)
    turned = samples("RGB", 3).transpose(1, 0, 2)[:, ::-1]  # the writer has made a box of it
    np.testing.assert_allclose(found.pixels.astype(int), turned, atol=2)


def test_of_several_images_the_primary_one_is_taken_where_it_is_asked_for(monkeypatch):
    file = pillow_heif.from_bytes("RGB", (48, 40), samples("RGB", 3).tobytes())
    file.add_from_pillow(Image.new("RGB", (30, 20)))
    out = io.BytesIO()
    file.save(out, quality=-1)
    with pytest.raises(ImageRefused, match=r"^animated or of several pages$"):
        raster(out.getvalue(), LIMITS)
    assert raster(out.getvalue(), LIMITS, first_frame=True).pixels.shape == (40, 48, 3)


def test_without_the_library_the_reason_names_the_extra(monkeypatch):
    data = heic(samples("RGB", 3), "RGB", monkeypatch)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageRefused, match="HEIC is read where the extra `heic` is installed"):
        raster(data, LIMITS)


def test_the_size_is_looked_at_before_the_pixels(monkeypatch):
    data = heic(samples("RGB", 3), "RGB", monkeypatch)
    with pytest.raises(ImageRefused, match="too many pixels: 48×40, limit 1000"):
        raster(data, Limits(max_pixels=1000, max_bytes=1 << 20))


def test_what_is_cut_is_refused(monkeypatch):
    data = heic(samples("RGB", 3), "RGB", monkeypatch)
    for share in (0.02, 0.2, 0.5, 0.9):
        with pytest.raises(ImageRefused, match=r"^(damaged|no image)"):
            raster(data[: int(len(data) * share)], LIMITS)


def test_a_file_beyond_the_limits_of_libheif_is_not_said_to_want_memory():
    out = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (48, 40))).save(out, quality=60)
    (at,) = [n for n in range(out.tell() - 4) if out.getvalue()[n : n + 4] == b"iloc"]
    data = bytearray(out.getvalue())
    data[at + 20 : at + 22] = b"\x68\x65"  # of the first item, how many extents it has
    with pytest.raises(ImageRefused, match=r"^beyond the limits of its parser: Number of extents"):
        decode(bytes(data), LIMITS)


def test_memory_that_ends_in_libheif_is_no_damage_of_the_file(monkeypatch):
    def short(*_arguments, **_options):
        raise RuntimeError("Memory allocation error: Unspecified")

    data = heic(samples("RGB", 3), "RGB", monkeypatch)
    monkeypatch.setattr(pillow_heif, "open_heif", short)
    with pytest.raises(ImageRefused) as refused:
        decode(data, LIMITS)
    assert isinstance(refused.value.__cause__, MemoryError)  # tried again in a process of its own
