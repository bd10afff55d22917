"""Image files: which are accepted, and their pixels. All input is untrusted.

The rules: JPEG, PNG, WebP, TIFF and BMP of one frame; grey becomes three equal channels,
palettes and CMYK become RGB (without colour management), samples of 16 bits are rounded
to 8, an alpha channel is dropped if it is opaque everywhere, and the orientation of Exif is
applied. Everything else is refused with a reason, and so is an image that can be told to be
damaged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFile

from tasks.io.errors import ImageRefused
from tasks.io.images import tags
from tasks.io.images.formats import bmp, jpeg, png, tiff
from tasks.io.images.opening import Limits, opened
from tasks.io.images.raster import FileFormat, Raster

EXTENSIONS = frozenset({"jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "dib"})
"""Endings of the names of files that are offered as images, in small letters."""

UNREAD_EXTENSIONS = frozenset(
    {
        *("apng", "avif", "exr", "gif", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jpf", "jpx"),
        *("cr2", "cr3", "dng", "jxl", "nef", "orf", "raf", "rw2"),
        *("pbm", "pfm", "pgm", "pnm", "ppm", "psd", "tga"),
    }
)
"""Endings of pictures that are not read: where they are left out, that is said."""

ResizeFilter = Literal["lanczos", "bicubic", "bilinear", "area"]
"""How an image is resized; when it becomes smaller, each of them averages as Pillow's do."""

_RESAMPLING: dict[ResizeFilter, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}

_LOADERS: dict[str, Callable[[ImageFile.ImageFile, bytes], Image.Image]] = {
    "JPEG": jpeg.load,
    "MPO": jpeg.load,
    "PNG": png.load,
    "TIFF": tiff.load,
    "WEBP": lambda image, _: image,
    "BMP": bmp.load,
}
"""What decodes the pixels, by Pillow's names of formats; a WebP's are decoded when looked at."""

_FILE_FORMATS: dict[str, FileFormat] = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
    "BMP": "bmp",
}
"""Formats by Pillow's names of them."""

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Header:
    """Format and size of an image file; width and height as shown, orientation applied."""

    extension: str
    width: int
    height: int


def read_header(data: bytes, limits: Limits) -> Header:
    """Return format and size of an image file, without decoding the pixels.

    Only for files that ``headers.is_plain`` accepts: any other may take hours and gigabytes,
    or be shown in another size, by metadata that only a decoder comes by.

    Raises:
        ImageRefused: the rules of this module exclude the file.
    """
    with opened(data, limits) as image:
        width, height = image.size
        if _orientation(image) in _TRANSPOSED:
            width, height = height, width
        extension = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}.get(str(image.format))
        return Header(extension or str(image.format).lower(), width, height)


def decode(data: bytes, limits: Limits) -> Raster:
    """Return an image file decoded.

    Raises:
        ImageRefused: the rules of this module exclude the file, or it is damaged.
    """
    with opened(data, limits) as image:
        loaded = _LOADERS[str(image.format)](image, data)
        shown = _rgb(loaded)
        turn = _TURNS.get(_orientation(image))
        return Raster(
            pixels=np.asarray(shown if turn is None else shown.transpose(turn)),
            file_format=_FILE_FORMATS[str(image.format)],
        )


def fit_to(
    raster: Raster,
    resize: int | None,
    crop: int | None,
    limits: Limits,
    *,
    resize_filter: ResizeFilter = "lanczos",
) -> Raster:
    """Return an image with its shorter side resized, and then cropped to a central square.

    Args:
        raster: the image.
        resize: pixels of the shorter side afterwards; None to leave the size.
        crop: pixels of the square's sides; None for no crop.
        limits: on the size after resizing.
        resize_filter: by which it is resized; no effect where ``resize`` is None.

    Raises:
        ImageRefused: the image is smaller than the square, or resizing makes it enormous.
    """
    image = Image.fromarray(raster.pixels)
    if resize is not None:
        scale = resize / min(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if size[0] * size[1] > limits.max_pixels:
            raise ImageRefused(
                f"too many pixels after resizing: {size[0]}×{size[1]}, limit {limits.max_pixels}"
            )
        image = image.resize(size, _RESAMPLING[resize_filter])
    if crop is not None:
        if min(image.size) < crop:
            raise ImageRefused(f"too small to crop {crop}×{crop}: {image.width}×{image.height}")
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    return raster.showing(np.asarray(image))


def _orientation(image: Image.Image) -> int:
    """Return how an image is still to be turned; Pillow turns a TIFF, and its size, itself."""
    return 1 if image.format == "TIFF" else tags.orientation(image.info)


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image with three channels of 8 bits, by the rules of this module."""
    if image.mode not in _MODES:
        raise ImageRefused(f"pixels of the kind {image.mode} are not read; save them as RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise ImageRefused("transparent; flatten it onto a background first")
    return image.convert("RGB")
