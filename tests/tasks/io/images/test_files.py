"""The rules for image files: what is let in, what is refused, and what it becomes."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import resize

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, extension_of, read_header
from tests.support.pictures import decode, encode, fit_to, raster

LIMITS = Limits(max_pixels=10_000, max_bytes=100_000)
LOSSLESS = ("PNG", "WEBP", "TIFF", "BMP")
ORIENTED = ("JPEG", "PNG", "WEBP", "TIFF")


def file_of(image, file_format, **options):
    out = io.BytesIO()
    if file_format == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    image.save(out, file_format, **options)
    return out.getvalue()


@pytest.fixture
def colour(pixels):
    return pixels(1, 20, 30)


@pytest.fixture
def grey(colour):
    return colour[..., 0]


def refusal(data, limits=LIMITS):
    with pytest.raises(ImageRefused) as caught:
        decode(data, limits)
    return str(caught.value)


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_a_lossless_image_is_decoded_bit_for_bit(colour, file_format):
    data = file_of(Image.fromarray(colour), file_format)
    np.testing.assert_array_equal(decode(data, LIMITS), colour)


@pytest.mark.parametrize("file_format", ["webp", "png"])
def test_what_is_encoded_without_loss_comes_back_bit_for_bit(pixels, file_format):
    noise = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    for image in (pixels(3, 8, 65), noise):
        np.testing.assert_array_equal(decode(encode(image, file_format), LIMITS), image)


def test_jpeg_is_encoded_with_full_colour_and_little_loss(colour):
    data = encode(colour, "jpeg")
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert image.layer[0][1:3] == (1, 1)  # the sampling of luminance: as that of colour
    difference = np.abs(decode(data, LIMITS).astype(int) - colour)
    assert difference.mean() < 4  # quality 95 changes noisy pixels by a few levels


@pytest.mark.parametrize(
    ("file_format", "extension"), [("webp", "webp"), ("png", "png"), ("jpeg", "jpg")]
)
def test_a_header_names_the_extension_that_its_format_is_written_with(
    colour, file_format, extension
):
    assert extension_of(file_format) == extension
    assert read_header(encode(colour, file_format), LIMITS).extension == extension


@pytest.mark.parametrize("file_format", ["webp", "jpeg"])
def test_a_side_too_long_for_the_format_is_refused(file_format):
    with pytest.raises(ImageRefused, match=f"too long for {file_format}: 70000×8"):
        encode(np.zeros((8, 70_000, 3), np.uint8), file_format)


def test_an_empty_file_is_refused():
    assert refusal(b"") == "empty file"


@pytest.mark.parametrize("data", [b"not an image, whatever its name says", b"\0" * 500])
def test_a_file_that_is_no_image_is_refused(data):
    assert refusal(data).startswith("no image in one of the formats JPEG, PNG, WebP, TIFF, BMP")


@pytest.mark.parametrize("file_format", ["JPEG", *LOSSLESS])
def test_a_truncated_image_is_refused(colour, file_format):
    data = file_of(Image.fromarray(colour), file_format)
    for share in (0.1, 0.5, 0.9):
        assert refusal(data[: int(len(data) * share)]).startswith(("damaged", "no image"))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it finds; here it finds anything
@pytest.mark.parametrize("file_format", ["JPEG", *LOSSLESS])
def test_a_file_with_any_bytes_changed_is_decoded_or_refused_and_nothing_else(colour, file_format):
    rng = np.random.default_rng(7)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    options = {} if file_format == "BMP" else {"exif": exif}
    whole = file_of(Image.fromarray(colour), file_format, **options)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(0, min(len(data), 300))] = rng.integers(0, 256)
        for read in (read_header, decode):
            try:
                read(bytes(data), LIMITS)
            except ImageRefused:
                continue


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded():
    data = file_of(Image.new("RGB", (200, 51)), "PNG")
    for read in (read_header, decode):
        with pytest.raises(ImageRefused, match="too many pixels: 200×51, limit 10000"):
            read(data, LIMITS)


def test_a_decompression_bomb_is_refused_by_its_header():
    bomb = bytearray(file_of(Image.new("1", (8, 8)), "BMP"))
    bomb[18:26] = (60_000).to_bytes(4, "little") * 2
    unlimited = Limits(max_pixels=1 << 62, max_bytes=100_000)
    assert refusal(bytes(bomb), unlimited).startswith("too many pixels")


def test_a_file_of_too_many_bytes_is_refused(colour):
    limits = Limits(max_pixels=10_000, max_bytes=1000)
    data = file_of(Image.fromarray(colour), "BMP")
    assert refusal(data, limits) == f"file too large: {len(data)} bytes, limit 1000"


@pytest.mark.parametrize("size", [(7, 30), (30, 7), (1, 1)])
def test_an_image_with_a_side_under_eight_pixels_is_refused(size):
    assert refusal(file_of(Image.new("RGB", size), "PNG")).startswith("too small")


def test_an_image_of_eight_by_eight_pixels_is_let_in():
    assert decode(file_of(Image.new("RGB", (8, 8)), "PNG"), LIMITS).shape == (8, 8, 3)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_an_animation_and_a_file_of_several_pages_are_refused(colour, file_format):
    frames = [Image.fromarray(colour), Image.fromarray(255 - colour)]
    data = file_of(frames[0], file_format, save_all=True, append_images=frames[1:])
    assert refusal(data) == "animated or of several pages"
    with pytest.raises(ImageRefused, match="animated"):
        read_header(data, LIMITS)


def test_a_gif_is_refused_whatever_it_is_called(colour):
    assert refusal(file_of(Image.fromarray(colour), "GIF")).startswith("no image in one of")


def test_of_a_phones_jpeg_with_several_frames_the_first_is_taken(colour):
    frames = [Image.fromarray(colour), Image.fromarray(colour[:9, :9])]
    data = file_of(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert read_header(data, LIMITS).extension == "jpg"
    assert decode(data, LIMITS).shape == (20, 30, 3)


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_grey_becomes_three_equal_channels(grey, file_format):
    decoded = decode(file_of(Image.fromarray(grey), file_format), LIMITS)
    np.testing.assert_array_equal(decoded, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_bits(file_format):
    wide = np.arange(0, 65536, 37, dtype=np.uint16)[:1600].reshape(40, 40)
    decoded = raster(file_of(Image.fromarray(wide), file_format), LIMITS)
    np.testing.assert_array_equal(decoded.pixels, np.stack([wide] * 3, axis=-1))
    assert (decoded.is_grey, decoded.bits) == (True, 16)


def test_a_tiff_of_whole_numbers_of_32_bits_is_refused():
    data = file_of(Image.fromarray(np.full((20, 20), 5, np.int32)), "TIFF")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "I"
    assert refusal(data).startswith("TIFF with signed samples of 32 bits, whose range is unknown")


def test_cmyk_becomes_rgb(colour):
    cmyk = Image.fromarray(colour).convert("CMYK")
    np.testing.assert_array_equal(decode(file_of(cmyk, "TIFF"), LIMITS), colour)
    lossy = decode(file_of(cmyk, "JPEG", quality=95), LIMITS)
    assert np.abs(lossy.astype(int) - colour).mean() < 8  # JPEG's loss in four channels


def test_one_bit_images_become_black_and_white(grey):
    black_or_white = (grey > 128).astype(np.uint8) * 255
    for file_format in ("PNG", "TIFF", "BMP"):
        data = file_of(Image.fromarray(black_or_white).convert("1"), file_format)
        np.testing.assert_array_equal(decode(data, LIMITS)[..., 1], black_or_white)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_a_palette_is_looked_up(colour, file_format):
    indexed = Image.fromarray(colour).quantize(16)
    expected = np.asarray(indexed.convert("RGB"))
    np.testing.assert_array_equal(decode(file_of(indexed, file_format), LIMITS), expected)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_that_is_opaque_everywhere_is_dropped(colour, file_format):
    image = Image.fromarray(colour).convert("RGBA")
    np.testing.assert_array_equal(decode(file_of(image, file_format), LIMITS), colour)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_stays_beside_the_colours(colour, file_format):
    image = Image.fromarray(colour).convert("RGBA")
    image.putpixel((3, 4), (1, 2, 3, 254))
    image.putpixel((5, 6), (7, 8, 9, 0))
    decoded = raster(file_of(image, file_format), LIMITS)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(image)[..., :3])
    np.testing.assert_array_equal(decoded.alpha, np.asarray(image)[..., 3])


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_an_image_that_is_transparent_everywhere_is_refused(colour, file_format):
    image = Image.fromarray(colour)
    image.putalpha(0)
    assert refusal(file_of(image, file_format)) == "transparent everywhere"


def test_grey_with_alpha_follows_the_same_rules(grey):
    image = Image.fromarray(grey).convert("LA")
    assert raster(file_of(image, "PNG"), LIMITS).alpha is None
    np.testing.assert_array_equal(decode(file_of(image, "PNG"), LIMITS)[..., 2], grey)
    image.putpixel((0, 0), (9, 0))
    decoded = raster(file_of(image, "PNG"), LIMITS)
    assert decoded.is_grey
    np.testing.assert_array_equal(decoded.alpha, np.asarray(image)[..., 1])
    assert (decoded.pixels[0, 0] == 9).all()


def test_a_palette_with_a_transparent_entry_follows_the_same_rules(colour):
    indexed = Image.fromarray(colour).quantize(16)
    used = indexed.getpixel((0, 0))
    decoded = raster(file_of(indexed, "PNG", transparency=used), LIMITS)
    np.testing.assert_array_equal(decoded.alpha == 0, np.asarray(indexed) == used)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(indexed.convert("RGB")))
    with_spare_entry = Image.fromarray(colour).quantize(15)
    data = file_of(with_spare_entry, "PNG", transparency=255)
    np.testing.assert_array_equal(decode(data, LIMITS), np.asarray(with_spare_entry.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_with_a_transparent_level_has_alpha(grey, mode):
    image = Image.fromarray(grey if mode == "L" else grey.astype(np.uint16) * 257)
    level = image.getpixel((0, 0))
    decoded = raster(file_of(image, "PNG", transparency=level), LIMITS)
    np.testing.assert_array_equal(decoded.alpha == 0, grey == grey[0, 0])


@pytest.mark.parametrize("file_format", ORIENTED)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_says(colour, file_format, orientation):
    stored = Image.fromarray(colour)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(stored, file_format, exif=exif)
    plain = decode(file_of(stored, file_format), LIMITS)
    turned = {
        1: plain,
        2: plain[:, ::-1],
        3: plain[::-1, ::-1],
        4: plain[::-1],
        5: plain.transpose(1, 0, 2),
        6: plain.transpose(1, 0, 2)[:, ::-1],
        7: plain.transpose(1, 0, 2)[::-1, ::-1],
        8: plain.transpose(1, 0, 2)[::-1],
    }[orientation]
    decoded, header = decode(data, LIMITS), read_header(data, LIMITS)
    np.testing.assert_array_equal(decoded, turned)
    assert (header.height, header.width) == decoded.shape[:2]


def test_resizing_brings_the_shorter_side_to_the_length_and_cropping_keeps_the_centre(colour):
    assert fit_to(colour, 10, None, LIMITS).shape == (10, 15, 3)
    assert fit_to(colour.transpose(1, 0, 2), 10, None, LIMITS).shape == (15, 10, 3)
    np.testing.assert_array_equal(fit_to(colour, None, 12, LIMITS), colour[4:16, 9:21])
    assert fit_to(colour, 16, 16, LIMITS).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("name", "filter_of_pillow"),
    [
        ("lanczos", Image.Resampling.LANCZOS),
        ("bicubic", Image.Resampling.BICUBIC),
        ("bilinear", Image.Resampling.BILINEAR),
        ("area", Image.Resampling.BOX),
    ],
)
def test_images_are_resized_by_the_filter_of_the_name(colour, name, filter_of_pillow):
    expected = np.asarray(Image.fromarray(colour).resize((15, 10), filter_of_pillow))
    np.testing.assert_array_equal(fit_to(colour, 10, None, LIMITS, resize_filter=name), expected)
    if name == "lanczos":
        np.testing.assert_array_equal(fit_to(colour, 10, None, LIMITS), expected)


def test_area_is_the_mean_of_squares_and_bilinear_is_torchvisions_with_anti_aliasing(colour):
    squares = colour.reshape(10, 2, 15, 2, 3).mean((1, 3))
    area = fit_to(colour, 10, None, LIMITS, resize_filter="area")
    np.testing.assert_allclose(area, squares, atol=1)  # Pillow rounds after both passes
    planes = torch.from_numpy(colour.copy()).movedim(-1, 0)
    expected = resize(planes, [10], antialias=True).movedim(0, -1)
    bilinear = fit_to(colour, 10, None, LIMITS, resize_filter="bilinear")
    np.testing.assert_allclose(bilinear, expected, atol=1)  # other rounding between the passes


def test_an_image_smaller_than_the_crop_is_refused(colour):
    with pytest.raises(ImageRefused, match="too small to crop 21×21: 30×20"):
        fit_to(colour, None, 21, LIMITS)


def test_a_strip_that_resizing_would_make_enormous_is_refused(pixels):
    with pytest.raises(ImageRefused, match="too many pixels after resizing: 6400×256"):
        fit_to(pixels(0, 8, 200), 256, None, LIMITS)
