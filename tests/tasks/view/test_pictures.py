"""Pictures for a browser: shown as they are read here, converted only where it must be."""

import io
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from tasks.io.errors import ConfigurationError
from tasks.io.images import Wanted
from tasks.io.images.conversion.shown import Shown
from tasks.io.images.decoder_pool import decode
from tasks.io.shards import read_members
from tasks.view import pictures
from tasks.view.pictures import find_member, picture, thumbnail

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned_jpeg(image):
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image, "JPEG", quality=95, exif=exif)


def bright_png(image):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (100_000).to_bytes(4, "big"))
    return saved(image, "PNG", pnginfo=info)


def deep(pixels):
    return pixels.astype(np.uint16) * 257


FILES = {
    "plain.jpg": (lambda rgb: saved(Image.fromarray(rgb), "JPEG", quality=95), "image/jpeg"),
    "plain.png": (lambda rgb: saved(Image.fromarray(rgb), "PNG", icc_profile=SRGB), "image/png"),
    "plain.webp": (lambda rgb: saved(Image.fromarray(rgb), "WEBP", lossless=True), "image/webp"),
    "grey.png": (lambda rgb: saved(Image.fromarray(rgb).convert("L"), "PNG"), "image/png"),
    "palette.png": (lambda rgb: saved(Image.fromarray(rgb).quantize(32), "PNG"), "image/png"),
    "turned.jpg": (lambda rgb: turned_jpeg(Image.fromarray(rgb)), ""),
    "inks.jpg": (lambda rgb: saved(Image.fromarray(rgb).convert("CMYK"), "JPEG"), ""),
    "bright.png": (lambda rgb: bright_png(Image.fromarray(rgb)), ""),
    "deep.tiff": (lambda rgb: imagecodecs.tiff_encode(deep(rgb)), ""),
    "plain.tif": (lambda rgb: saved(Image.fromarray(rgb), "TIFF"), ""),
    "plain.bmp": (lambda rgb: saved(Image.fromarray(rgb), "BMP"), ""),
    "plain.avif": (lambda rgb: saved(Image.fromarray(rgb), "AVIF", quality=90), ""),
}


@pytest.fixture(scope="module")
def of_many_kinds(tmp_path_factory, steps, write_images, pixels):
    """A sharded data set with a file of every kind, and where each lies."""
    folder = tmp_path_factory.mktemp("kinds")
    images = {
        f"{name.replace('.', '-')}{name[name.index('.') :]}": make(pixels(n))
        for n, (name, (make, _)) in enumerate(FILES.items())
    }
    images["clear-png.png"] = saved(
        Image.fromarray(np.dstack([pixels(50), np.tile(np.arange(32) * 8, (24, 1))]).astype("u1")),
        "PNG",
    )
    corpus = write_images(folder / "restored", images)
    run = steps(
        folder / "workspace", {"restored": corpus, "natural": corpus}, shards={"images": 99}
    )
    run.shard()
    found = {m.key: m for m in run.workspace.members("run", "shard-000000")}
    return SimpleNamespace(workspace=run.workspace, run=SimpleNamespace(config=run.config)), found


def read_here(viewed, member):
    """Pixels as this project reads and shows them."""
    ((_, data),) = read_members(viewed.workspace.store, [member])
    return Shown.of(
        decode(data, viewed.run.config.shards.limits(), Wanted(first_frame=True))
    ).pixels


def as_browsers_do(data):
    """What a browser shows: upright, on white."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(white, upright).convert("RGB")).astype(int)


@pytest.mark.parametrize("name", FILES)
def test_a_browser_shows_what_is_read_here(of_many_kinds, name):
    viewed, found = of_many_kinds
    member = found[name.replace(".", "-")]
    shown = picture(viewed, member)
    assert np.abs(as_browsers_do(shown.data) - read_here(viewed, member)).max() <= 1
    as_it_is = FILES[name][1]
    assert shown.media_type == (as_it_is or "image/webp")
    if as_it_is:
        assert shown.note == ""
        ((_, data),) = read_members(viewed.workspace.store, [member])
        assert shown.data == data
    else:
        assert shown.note.startswith("converted for show from ")


def test_what_was_done_is_said(of_many_kinds, monkeypatch):
    viewed, found = of_many_kinds
    assert picture(viewed, found["deep-tiff"]).note == (
        "converted for show from TIFF of 16 bits to WebP of 8"
    )
    monkeypatch.setattr(pictures, "MOST_PIXELS", 200)
    small = picture(viewed, found["plain-png"])
    assert small.note == "converted for show from PNG of 8 bits to WebP of 8, at 1/2 of its size"
    assert as_browsers_do(small.data).shape == (12, 16, 3)
    monkeypatch.setattr(pictures, "_LONGEST_WEBP", 20)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1 << 26)
    assert picture(viewed, found["deep-tiff"]).media_type == "image/png"


def test_transparency_is_over_white_either_way(of_many_kinds, monkeypatch):
    viewed, found = of_many_kinds
    member = found["clear-png"]
    as_it_is = picture(viewed, member)
    assert as_it_is.media_type == "image/png"
    monkeypatch.setattr(pictures, "_shown_as_it_is", lambda *_: "")
    converted = picture(viewed, member)
    assert converted.note.endswith(", over white")
    apart = as_browsers_do(as_it_is.data) - as_browsers_do(converted.data)
    assert np.abs(apart).max() <= 1


def test_a_profile_goes_along(of_many_kinds, monkeypatch):
    viewed, found = of_many_kinds
    monkeypatch.setattr(pictures, "_shown_as_it_is", lambda *_: "")
    for data in (
        picture(viewed, found["plain-png"]).data,
        thumbnail(viewed, found["plain-png"]).data,
    ):
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["icc_profile"] == SRGB


def test_a_thumbnail_is_small_and_upright(of_many_kinds, monkeypatch):
    viewed, found = of_many_kinds
    monkeypatch.setattr(pictures, "THUMBNAIL", 16)
    shown = thumbnail(viewed, found["turned-jpg"])
    assert as_browsers_do(shown.data).shape == (16, 12, 3)


def test_an_image_that_is_not_there_is_told(viewed):
    version = viewed.version("+0.00")
    with pytest.raises(
        ConfigurationError, match=r"a shard must be one of the finished ones, got '\.\./x'"
    ):
        find_member(viewed, version, "../x", "a/0")
    with pytest.raises(ConfigurationError, match="must be one that shard-000000 has as alpha 0"):
        find_member(viewed, version, "shard-000000", "no/such")


@pytest.mark.parametrize("name", ["+0.00", "+1.00", "input", "reference"])
def test_every_version_is_the_image_of_its_own_table(viewed, name):
    from tasks.view.sheet import Sheet

    (row,) = Sheet(viewed).rows(np.array([5]), viewed.version("+0.00"))
    member = find_member(viewed, viewed.version(name), row["shard"], row["key"])
    assert member.key == row["key"]
    assert as_browsers_do(picture(viewed, member).data).shape == (row["height"], row["width"], 3)
