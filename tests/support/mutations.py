"""Whole images and tars, and the damage that is done to them: cases for fuzz.py."""

import importlib.util
import io
import tarfile
import zlib

import imagecodecs
import numpy as np
import tifffile
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

EXTREMES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)


def images():
    """Whole images of every format, with all that parsers look at."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:24, 0:32]
    colour = (
        128 + 80 * np.sin(0.3 * x + 0.2 * y)[..., None] + rng.normal(0, 12, (24, 32, 3))
    ).clip(0, 255)
    picture = Image.fromarray(colour.astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    known = PngImagePlugin.PngInfo()
    known.add_text("plain", "text")
    known.add_text("packed", "text" * 100, zip=True)
    known.add_itxt("international", "文" * 50, zip=True)
    grey, palette = picture.convert("L"), picture.quantize(16)
    made = {
        "jpeg": (picture, "JPEG", {"exif": exif, "comment": b"a comment"}),
        "progressive": (picture, "JPEG", {"progressive": True}),
        "cmyk": (picture.convert("CMYK"), "JPEG", {}),
        "png": (picture, "PNG", {"exif": exif, "pnginfo": known}),
        "palette": (palette, "PNG", {"transparency": 3}),
        "grey16": (Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG", {}),
        "apng": (picture, "PNG", {"save_all": True, "append_images": [grey.convert("RGB")]}),
        "webp": (picture, "WEBP", {"exif": exif}),
        "lossless": (picture.convert("RGBA"), "WEBP", {"lossless": True}),
        "animated": (picture, "WEBP", {"save_all": True, "append_images": [palette]}),
        "tiff": (picture, "TIFF", {"compression": "tiff_lzw", "exif": exif}),
        "deflate": (picture, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "bmp": (palette, "BMP", {}),
    }
    files = newer(picture)
    for name, (image, file_format, options) in made.items():
        out = io.BytesIO()
        image.save(out, file_format, **options)
        files[name] = out.getvalue()
    return files


def newer(picture):
    """Whole images of the formats that libraries of their own decode, and deep ones."""
    colour = np.asarray(picture)
    wide, grey = colour.astype(np.uint16) * 257, colour[..., 0].astype(np.float32) / 255
    files = {
        "avif": imagecodecs.avif_encode(colour, level=60),
        "avif10": imagecodecs.avif_encode(wide >> 6, bitspersample=10, level=90),
        "jxl": imagecodecs.jpegxl_encode(colour, lossless=True),
        "jxl16": imagecodecs.jpegxl_encode(wide, lossless=True, usecontainer=True),
    }
    for name, samples, options in (
        ("tiff16", wide, {"compression": "lzw", "predictor": True}),
        ("planar", np.moveaxis(wide, -1, 0), {"compression": "zlib", "planarconfig": "separate"}),
        ("tiled", wide, {"tile": (16, 16), "compression": "zstd"}),
        ("float", grey, {"compression": "zlib", "predictor": True, "photometric": "minisblack"}),
        ("multiplied", np.dstack([wide, wide[..., 0]]), {"extrasamples": ["assocalpha"]}),
        ("bigtiff", wide, {"bigtiff": True, "iccprofile": imagecodecs.cms_profile("adobergb")}),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, samples, **{"photometric": "rgb", "metadata": None, **options})
        files[name] = out.getvalue()
    if importlib.util.find_spec("pillow_heif"):
        from pillow_heif import from_pillow

        out = io.BytesIO()
        from_pillow(picture).save(out, quality=60)
        files["heic"] = out.getvalue()
    out, profile = io.BytesIO(), imagecodecs.cms_profile("adobergb")
    Image.fromarray(wide[..., 0]).save(out, "PNG", icc_profile=imagecodecs.cms_profile("srgb"))
    files["deep"] = out.getvalue()
    out = io.BytesIO()
    picture.save(out, "JPEG", icc_profile=profile, xmp=b'<x tiff:Orientation="6"/>')
    files["profile"] = out.getvalue()
    return files


def tars(files):
    """Whole tars of every format, with members of every kind."""
    made = {}
    for name, file_format in (("ustar", 0), ("gnu", 1), ("pax", 2)):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=file_format) as archive:

            def add(member, data=b"", kind=tarfile.REGTYPE, link="", archive=archive):
                info = tarfile.TarInfo(member)
                info.size, info.type, info.linkname = len(data), kind, link
                archive.addfile(info, io.BytesIO(data))

            add("folder", kind=tarfile.DIRTYPE)
            add("folder/a.jpg", files["jpeg"])
            add("folder/a.json", b'{"caption": "a cat"}')
            add("folder/a.cls", b"7")
            add("link.png", kind=tarfile.SYMTYPE, link="/etc/passwd")
            add("é/日本.png" if file_format else "e/j.png", files["png"])
            add("n" * 99 + "/" + "b" * (150 if file_format else 90) + ".webp", files["webp"])
            add("é/日本.json" if file_format else "e/j.json", b"[1, 2]")
        made[name] = out.getvalue()
    return made


IMAGES = images()
TARS = tars(IMAGES)
OTHERS = [*IMAGES.values(), *TARS.values()]
MAGIC = [
    b"PK\x03\x04",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF",
    b"\x1f\x8b",
    bytes(512),
    b"\x80\x04",
]


def mutated(data, steps, longest):
    """The bytes after a few steps of damage."""
    data = bytearray(data)
    for step, place, value in steps:
        among = len(data) if value % 3 else min(len(data), 600)  # heads are hit more often
        STEPS[step](data, int(place * among), value)
    return data[:longest]


def _flip(data, at, value):
    data[at : at + 1] = bytes(byte ^ 1 << value % 8 for byte in data[at : at + 1])


def _byte(data, at, value):
    data[at : at + 1] = bytes([value % 256])


def _number(data, at, value):
    width, order = (1, 2, 4, 8)[value % 4], ("little", "big")[value // 4 % 2]
    number = EXTREMES[value // 8 % len(EXTREMES)] % (1 << 8 * width)
    data[at : at + width] = number.to_bytes(width, order)


def _cut(data, at, value):
    del data[at:]


def _drop(data, at, value):
    del data[at : at + value % 700]


def _repeat(data, at, value):
    data[at:at] = data[at : at + value % 600] * (1 + value % 5)


def _insert(data, at, value):
    data[at:at] = MAGIC[value % len(MAGIC)]


def _splice(data, at, value):
    other = OTHERS[value % len(OTHERS)]
    start = value * 31 % len(other)
    data[at : at + value % 300] = other[start : start + value // 7 % 600]


def _append(data, at, value):
    data += OTHERS[value % len(OTHERS)]


def _field(data, at, value):
    """Set a field of one of a tar's headers to something that a tar should not say."""
    starts = [n for n in range(0, len(data) - 511, 512) if data[n + 257 : n + 262] == b"ustar"]
    if not starts:
        return
    start = starts[at % len(starts)]
    field, contents = (
        (0, (b"../../x.jpg\0", b"/etc/x.jpg\0", b"a\n\x1b.jpg\0", b"\xff\xfe.png\0", bytes(100))),
        (
            124,
            (b"77777777777\0", b"-0000000001\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"9" * 12),
        ),
        (156, (b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"x", b"g", b"S", b"V", b"\0")),
        (345, (b"../..\0", b"/\0", b"p" * 155)),
        (482, (b"\1", b"\0")),
    )[value % 5]
    content = contents[value // 5 % len(contents)]
    data[start + field : start + field + len(content)] = content


def mended_png(data):
    """Chunks with the checksums that their bytes need, so that damage gets further in."""
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return data


def mended_tar(data):
    """Headers with the checksums that their bytes need."""
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return data


STEPS = {
    "flip": _flip,
    "byte": _byte,
    "number": _number,
    "cut": _cut,
    "drop": _drop,
    "repeat": _repeat,
    "insert": _insert,
    "splice": _splice,
    "append": _append,
    "field": _field,
}
CASES = st.tuples(
    st.sampled_from([*IMAGES, *TARS, *TARS, *TARS]),
    st.lists(
        st.tuples(
            st.sampled_from(list(STEPS)),
            st.floats(0, 1, exclude_max=True),
            st.integers(0, 1 << 16),
        ),
        max_size=6,
    ),
    st.booleans(),
)
