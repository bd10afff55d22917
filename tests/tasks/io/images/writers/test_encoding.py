"""Images as they are written, read back by libraries that had no part in it."""

import dataclasses
import io
import itertools

import cv2
import imagecodecs
import numpy as np
import pillow_heif
import pillow_jxl
import pytest
import tifffile
from PIL import Image, ImageCms

from tasks.io.errors import ImageRefused
from tasks.io.images import (
    Form,
    Metadata,
    Raster,
    complaint,
    depth_written,
    encode,
    encode_lossless,
)
from tasks.io.images.raster import full_intensity
from tests.support import colour_profiles

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>\xc3\xa9</a></x:xmpmeta>'
FORMATS = ("webp", "png", "jpeg", "tiff", "bmp", "avif", "heic", "jxl")
DEPTHS = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}
LOSSLESS = ("webp", "png", "tiff", "bmp", "jxl")
CLOSE = {"jpeg": 0.05, "avif": 0.05, "heic": 0.05}  # of quality 95, as a share of full

# What comes back, by format: types of numbers, and whether grey has one channel.
HELD = {
    "webp": ("uint8", "uint8", "uint8", False),
    "png": ("uint8", "uint16", "uint16", True),
    "jpeg": ("uint8", "uint8", "uint8", True),
    "tiff": ("uint8", "uint16", "float32", True),
    "bmp": ("uint8", "uint8", "uint8", True),
    "avif": ("uint8", "uint16", "uint16", True),
    "heic": ("uint8", "uint16", "uint16", True),
    "jxl": ("uint8", "uint16", "float32", True),
}


def exif_of_a_camera(order="MM"):
    exif = Image.Exif()
    exif.endian = ">" if order == "MM" else "<"
    exif[271], exif[274], exif[282], exif[283], exif[296] = "Maker, of cameras", 1, 240.0, 240.0, 2
    exif.get_ifd(0x8769)[36867] = "2026:01:02 03:04:05"
    exif.get_ifd(0x8769)[37500] = b"note of the maker" * 3
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes().removeprefix(b"Exif\0\0")


EXIF = exif_of_a_camera()


def smooth(depth, height=45, width=70):
    """Levels (h, w, 4) of a type: three colours that differ, and alpha that goes from 0 to all."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    planes = np.stack([x, y, (x + y) / 2, y / y.max()], axis=2)
    full = full_intensity(np.dtype(depth))
    return (planes * full).round().astype(depth) if full > 1 else planes.astype(depth)


def raster_of(depth="uint8", *, is_grey=False, alpha=False, file_format="png", **said):
    levels = smooth(DEPTHS[depth])
    bits = {"uint8": 8, "uint16": 12 if file_format in ("avif", "heic") else 16, "float32": 32}
    return Raster(
        pixels=np.repeat(levels[..., :1], 3, axis=2) if is_grey else levels[..., :3],
        alpha=levels[..., 3] if alpha else None,
        is_grey=is_grey,
        file_format=file_format,
        bits=bits[depth],
        metadata=Metadata(**said),
    )


def read_back(data, file_format):
    """Samples (h, w, channels) of a file, by a library that did not write it where there is one."""
    if file_format == "tiff":
        levels = tifffile.imread(io.BytesIO(data))
    elif file_format == "heic":
        opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        levels = np.asarray(opened)
        if levels.dtype == np.uint16 and opened.info["bit_depth"] != 16:
            levels = levels.view(np.uint16)
    elif file_format == "bmp":
        with Image.open(io.BytesIO(data)) as image:
            levels = np.asarray(image)
    else:
        name = {"jxl": "jpegxl", "jpeg": "jpeg8"}.get(file_format, file_format)
        levels = getattr(imagecodecs, f"{name}_decode")(data)
        if file_format == "avif" and levels.dtype == np.uint16:  # of 12 bits
            levels = (levels.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
    return levels.reshape(*levels.shape[:2], -1)


def expected_of(raster, file_format):
    depth = np.dtype(DEPTHS[HELD[file_format][list(DEPTHS).index(str(raster.depth))]])
    levels = raster.pixels if raster.alpha is None else np.dstack([raster.pixels, raster.alpha])
    share = levels.astype(np.float64) / full_intensity(raster.depth)
    return share, depth


def info_of(data, file_format):
    """What Pillow finds beside the pixels of a file: profile, Exif, XMP, resolution."""
    if file_format == "jxl":
        decoder = pillow_jxl.Decoder(num_threads=1)
        *_, icc, boxes = decoder(data)
        by_kind = {bytes(box.box_type): bytes(box.data) for box in boxes}
        return icc, by_kind.get(b"Exif", b"")[4:], by_kind.get(b"xml ", b""), None
    if file_format == "heic":
        opened = pillow_heif.open_heif(io.BytesIO(data))
        info = opened.info
    else:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            info = image.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp", "").encode()
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0")
    return info.get("icc_profile") or b"", exif, bytes(xmp), info.get("dpi")


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("is_grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_an_image_comes_back_at_the_depth_and_in_the_channels_that_its_format_holds(
    file_format, depth, is_grey, alpha
):
    raster = raster_of(depth, is_grey=is_grey, alpha=alpha, file_format=file_format)
    if file_format == "jpeg" and alpha:
        with pytest.raises(ImageRefused, match="transparent, which jpeg cannot hold"):
            encode(raster, Form("keep"))
        return
    levels = read_back(encode(raster, Form("keep")), file_format)
    share, held = expected_of(raster, file_format)
    assert levels.dtype == held == depth_written(raster, Form("keep"))
    has_one = (
        is_grey and HELD[file_format][3] and not (alpha and file_format in ("avif", "bmp", "heic"))
    )
    assert levels.shape[2] == (1 if has_one else 3) + alpha
    colour, shown = share[..., : 1 if has_one else 3], levels / full_intensity(held)
    step = 0.5 / full_intensity(held) if held.kind == "u" else 1e-7
    within = CLOSE.get(file_format, 0 if held == raster.depth else step * 1.01)
    assert np.abs(shown[..., : colour.shape[2]] - colour).max() <= within + 1e-9
    if alpha:
        assert np.abs(shown[..., -1] - share[..., -1]).max() <= within + 1e-9


@pytest.mark.parametrize(
    ("file_format", "depth", "is_grey"),
    [
        case
        for case in itertools.product(FORMATS, DEPTHS, (False, True))
        if case[1] in ("uint8", "uint16") or case[0] in ("tiff", "jxl")
    ],
)
def test_profile_exif_and_xmp_go_along_byte_for_byte(file_format, depth, is_grey):
    profile = colour_profiles.grey() if is_grey else colour_profiles.display_p3()
    beside = {"exif": EXIF, "xmp": XMP} if file_format != "bmp" else {}
    raster = raster_of(
        depth,
        is_grey=is_grey,
        file_format=file_format,
        icc=profile,
        resolution=(300, 150),
        **beside,
    )
    data = encode(raster, Form("keep"))
    if file_format == "tiff":
        with tifffile.TiffFile(io.BytesIO(data)) as opened:
            tags = opened.pages[0].tags
            assert len(opened.pages) == 1
            assert tags[34675].value == profile
            assert tags[700].value == XMP
            assert (tags[271].value, tags[274].value) == ("Maker, of cameras", 1)
            assert tags[34665].value["DateTimeOriginal"] == "2026:01:02 03:04:05"
            assert tags[34665].value["MakerNote"] == b"note of the maker" * 3
            assert tags[34853].value["GPSLatitudeRef"] == "N"
            assert (tags[282].value, tags[283].value) == ((300, 1), (150, 1))
        return
    if file_format == "bmp":
        start = 14 + int.from_bytes(data[14 + 112 : 14 + 116], "little")
        assert data[start:] == profile
        assert info_of(data, "bmp")[3] == pytest.approx((300, 150), rel=1e-4)
        return
    icc, exif, xmp, resolution = info_of(data, file_format)
    if file_format == "webp" and is_grey:
        assert icc[16:20] == b"RGB "
    else:
        assert icc == profile
    if file_format == "avif":  # Pillow's, without the orientation, which AVIF tells elsewhere
        with Image.open(io.BytesIO(data)) as image:
            found = image.getexif()
        assert found[271] == "Maker, of cameras"
        assert found.get_ifd(0x8769)[37500] == b"note of the maker" * 3
    else:
        assert exif == EXIF
    assert xmp == XMP
    if file_format in ("png", "jpeg"):
        assert resolution == pytest.approx((300, 150), rel=1e-4)


@pytest.mark.parametrize("file_format", ["webp", "avif", "heic", "jxl"])
def test_a_resolution_without_exif_becomes_exif_where_there_is_no_other_place(file_format):
    data = encode(raster_of(file_format=file_format, resolution=(300, 72.5)), Form("keep"))
    exif = Image.Exif()
    exif.load(info_of(data, file_format)[1])
    assert (exif[282], exif[283], exif[296]) == (300, 72.5, 2)


@pytest.mark.parametrize("value", [0, -1, 0.5, 1e9, float("inf"), float("nan")])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_resolution_that_no_picture_has_is_left_out(file_format, value):
    data = encode(raster_of(file_format=file_format, resolution=(72, value)), Form("keep"))
    assert data == encode(raster_of(file_format=file_format), Form("keep"))


def test_a_bmp_that_was_webp_in_between_comes_back():
    between = info_of(encode(raster_of(resolution=(300, 72.5)), Form("webp")), "webp")[1]
    data = encode(raster_of(file_format="bmp", exif=between, resolution=(300, 72.5)), Form("keep"))
    assert info_of(data, "bmp")[3] == pytest.approx((300, 72.5), rel=1e-3)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_plain_image_is_written_with_nothing_beside_it(file_format):
    data = encode(raster_of(file_format=file_format), Form("keep"))
    icc, exif, xmp, _ = info_of(data, file_format)
    assert (exif, xmp) == (b"", b"")
    if file_format != "jxl":  # for which Pillow's plug-in makes up a profile of sRGB
        assert icc == b""


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("is_grey", [False, True])
def test_jpeg_xl_without_a_profile_says_that_it_is_srgb(depth, is_grey):
    data = encode(raster_of(depth, is_grey=is_grey), Form("jxl"))
    profile = info_of(data, "jxl")[0]
    curve = b"para" + bytes(4) + b"\0\3\0\0" + (157286).to_bytes(4, "big")  # 2.4
    assert curve in profile
    assert profile[16:20] == (b"GRAY" if is_grey else b"RGB ")


@pytest.mark.parametrize("platform", [b"APPL", b"MSFT", b"SGI ", b"SUNW", b"\0\0\0\0", b"SBCD"])
@pytest.mark.parametrize("size", [128, 129, 300, 4000, 70_000])
def test_jpeg_xl_holds_any_profile_byte_for_byte(platform, size):
    profile = colour_profiles.display_p3(platform)
    filled = np.random.default_rng(size).bytes(max(0, size - len(profile)))
    profile = (profile + filled)[: max(size, 128)]
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    raster = raster_of(icc=profile)
    data = encode(raster, Form("jxl"))
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(data), raster.pixels)
    if size >= 4000:  # a shorter one is cut off, and its reader replaces it
        assert info_of(data, "jxl")[0] == profile


@pytest.mark.parametrize("shape", [(8, 8), (256, 8), (8, 264), (600, 800), (1234, 77), (64, 128)])
@pytest.mark.parametrize("file_format", ["jxl", "png", "tiff"])
def test_noise_of_sixteen_bits_of_any_size_comes_back_bit_for_bit(file_format, shape, rng_numpy):
    pixels = rng_numpy.integers(0, 65536, (*shape, 3), dtype=np.uint16)
    raster = Raster(pixels=pixels, metadata=Metadata(icc=colour_profiles.display_p3()))
    data = encode(raster, Form(file_format))
    np.testing.assert_array_equal(read_back(data, file_format), pixels)


@pytest.fixture
def rng_numpy():
    return np.random.default_rng(0)


def test_opencv_reads_deep_png_and_tiff_as_they_were_written():
    raster = raster_of("uint16", alpha=True)
    expected = np.dstack([raster.pixels, raster.alpha])[..., [2, 1, 0, 3]]
    for file_format in ("png", "tiff"):
        data = np.frombuffer(encode(raster, Form(file_format)), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), expected)


def test_floating_point_numbers_beyond_the_range_are_kept_by_tiff_and_clipped_by_png():
    pixels = np.array([-0.5, 0, 0.25, 1, 1.5, 2] * 32, np.float32).reshape(8, 8, 3)
    tiff, png = (encode(Raster(pixels=pixels), Form(name)) for name in ("tiff", "png"))
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(tiff)), pixels)
    expected = np.rint(pixels.clip(0, 1) * 65535)
    np.testing.assert_array_equal(imagecodecs.png_decode(png), expected)


@pytest.mark.parametrize(
    ("subsampling", "factors"), [("4:4:4", (1, 1)), ("4:2:2", (2, 1)), ("4:2:0", (2, 2))]
)
def test_jpeg_says_in_its_header_at_which_resolution_colours_are(subsampling, factors):
    data = encode(raster_of(), Form("jpeg", 90, subsampling))
    with Image.open(io.BytesIO(data)) as image:
        assert image.layer[0][1:3] == factors
        assert image.layer[1][1:3] == (1, 1)


@pytest.mark.parametrize("file_format", ["jpeg", "avif", "heic"])
def test_lossy_files_grow_with_quality(file_format):
    raster = raster_of(file_format=file_format)
    sizes = [len(encode(raster, Form("keep", quality))) for quality in (10, 50, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2]


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_quality_changes_no_lossless_file(file_format):
    raster = raster_of(file_format=file_format)
    assert encode(raster, Form("keep", 10, "4:2:0")) == encode(raster, Form("keep"))


def test_colours_stay_where_webp_is_transparent(rng_numpy):
    pixels = rng_numpy.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    data = encode(Raster(pixels=pixels, alpha=np.zeros((16, 16), np.uint8)), Form("webp"))
    np.testing.assert_array_equal(imagecodecs.webp_decode(data)[..., :3], pixels)


def test_three_channels_of_grey_are_written_as_their_mean():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 10, 21
    data = encode(Raster(pixels=pixels, is_grey=True), Form("png"))
    np.testing.assert_array_equal(imagecodecs.png_decode(data), np.full((8, 8), 10))


def test_a_profile_of_grey_for_three_channels_shows_the_same():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    raster = Raster(
        pixels=np.repeat(ramp[..., None], 3, axis=2),
        is_grey=True,
        metadata=Metadata(icc=colour_profiles.grey(1.8)),
    )
    with Image.open(io.BytesIO(encode(raster, Form("webp")))) as image:
        profile, target = image.info["icc_profile"], ImageCms.createProfile("sRGB")
        shown = ImageCms.profileToProfile(image, io.BytesIO(profile), target, outputMode="RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(raster.metadata.icc))
    expected = ImageCms.profileToProfile(Image.fromarray(ramp), source, target, outputMode="RGB")
    difference = np.asarray(shown).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= 1
    assert np.abs(np.asarray(shown)[..., 0].astype(int) - ramp).max() > 5  # a curve of its own


@pytest.mark.parametrize("file_format", ["png", "jxl", "jpeg", "avif"])
def test_grey_with_a_profile_of_rgb_is_written_in_three_channels(file_format):
    raster = raster_of(is_grey=True, icc=colour_profiles.display_p3())
    data = encode(raster, Form(file_format))
    assert read_back(data, file_format).shape[2] == 3
    assert info_of(data, file_format)[0] == raster.metadata.icc


@pytest.mark.parametrize(
    ("file_format", "said", "reason"),
    [
        ("jpeg", {"exif": EXIF + bytes(65_600)}, "Exif too long for jpeg: "),
        ("jpeg", {"xmp": bytes(65_505)}, "XMP too long for jpeg: 65505 bytes, at most 65504"),
        ("png", {"icc": bytes(16) + b"CMYK" + bytes(200)}, "colour profile of 'CMYK' with RGB"),
        ("bmp", {"xmp": XMP}, "Exif or XMP, which bmp cannot hold"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_in_a_sentence(file_format, said, reason):
    raster = raster_of(file_format=file_format, **said)
    with pytest.raises(ImageRefused, match=reason):
        encode(raster, Form("keep"))
    assert complaint(raster, Form("keep")).startswith(reason)


def test_an_image_that_a_missing_library_would_write_is_refused(monkeypatch):
    monkeypatch.setattr("tasks.io.images.writers.encoding.find_spec", lambda _: None)
    deep = raster_of("uint16", file_format="avif")
    assert complaint(deep, Form("keep")).endswith("written by imagecodecs; pip install imagecodecs")
    assert complaint(raster_of(file_format="avif"), Form("keep")) is None
    assert "pip install pillow-heif" in complaint(raster_of(file_format="heic"), Form("keep"))


def test_a_profile_of_grey_without_a_curve_is_refused_where_there_is_no_grey():
    profile = colour_profiles.grey().replace(b"kTRC", b"A2B0")
    raster = raster_of(is_grey=True, icc=profile)
    assert complaint(raster, Form("webp")).startswith("colour profile of grey without a curve")
    assert complaint(raster, Form("png")) is None


def test_jpeg_holds_exif_and_xmp_of_a_whole_segment_and_a_profile_of_many():
    profile = colour_profiles.display_p3() + bytes(200_000)
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    exif = EXIF + bytes(65_527 - len(EXIF))
    raster = raster_of(exif=exif, xmp=b"<" * 65_504, icc=profile)
    icc, found, xmp, _ = info_of(encode(raster, Form("jpeg")), "jpeg")
    assert (icc, found, xmp) == (profile, exif, b"<" * 65_504)


@pytest.mark.parametrize("order", ["II", "MM"])
def test_what_a_camera_noted_at_places_of_its_exif_is_there_in_tiff(order):
    exif = exif_of_a_camera(order)
    data = encode(raster_of("uint16", exif=exif), Form("tiff"))
    assert data[:2] == order.encode()
    assert data[8 : len(exif)] == exif[8:]


@pytest.mark.parametrize(
    ("depth", "width", "file_format"),
    [
        ("uint8", 70, "webp"),
        ("uint8", 16_384, "png"),
        ("uint16", 70, "png"),
        ("float32", 70, "tiff"),
    ],
)
def test_an_image_written_without_loss_is_in_the_format_that_holds_it(depth, width, file_format):
    pixels = np.resize(smooth(DEPTHS[depth])[..., :3], (8, width, 3))
    data, found = encode_lossless(Raster(pixels=pixels))
    assert found == file_format
    np.testing.assert_array_equal(read_back(data, file_format), pixels)


def test_options_count_among_inputs_only_where_they_have_an_effect():
    assert Form("webp", 10, "4:2:0").inputs == Form("webp").inputs == {"format": "webp"}
    assert Form("jpeg").inputs == {"format": "jpeg"}
    assert Form("jpeg", 90).inputs == {"format": "jpeg", "quality": 90}
    assert Form("keep", 95, "4:2:0").inputs == {"format": "keep", "subsampling": "4:2:0"}


def damaged(data, random):
    """Bytes of which some were changed, left out, or put in."""
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(0, len(data)))
        piece = random.bytes(int(random.integers(0, 5)))
        data = data[:place] + piece + data[place + int(random.integers(0, 5)) :]
    return data[: int(random.integers(len(data) // 2, len(data) + 1))]


@pytest.mark.filterwarnings("ignore")  # readers warn of what they find; here it is damaged
@pytest.mark.parametrize("file_format", FORMATS)
def test_damaged_metadata_goes_along_or_is_refused_and_harms_no_pixels(file_format, rng_numpy):
    plain = raster_of(file_format=file_format)
    expected, refused = read_back(encode(plain, Form("keep")), file_format), 0
    for _ in range(20 if file_format == "heic" else 100):
        said = Metadata(
            icc=damaged(colour_profiles.display_p3(), rng_numpy),
            exif=b"" if file_format == "bmp" else damaged(EXIF, rng_numpy),
            xmp=b"" if file_format == "bmp" else rng_numpy.bytes(9),
        )
        try:
            data = encode(dataclasses.replace(plain, metadata=said), Form("keep"))
        except ImageRefused:
            refused += 1
            continue
        np.testing.assert_array_equal(read_back(data, file_format), expected)
    assert refused < (20 if file_format == "heic" else 100)


def test_jpeg_xl_gives_back_what_its_quickest_encoder_would_not():
    """libjxl 0.11 loses some small images of many extreme values at its lowest effort."""
    pixels = np.clip(np.random.default_rng(13).normal(128, 200, (54, 53, 3)), 0, 255)
    whole = pixels.astype(np.uint8)
    data = encode(Raster(pixels=whole), Form("jxl"))
    np.testing.assert_array_equal(imagecodecs.jpegxl_decode(data), whole)
