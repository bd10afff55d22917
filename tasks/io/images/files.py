"""Image files: which are accepted, their pixels, and new files. All input is untrusted.

The rules: JPEG, PNG, WebP, TIFF and BMP of one frame; grey becomes three equal channels,
palettes and CMYK become RGB (without colour management), 16-bit grey is rounded to 8
bits, an alpha channel is dropped if it is opaque everywhere, and EXIF orientation is
applied. Everything else is refused with a reason; so is what is known to be damaged.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from tasks.io.errors import ImageRefused
from tasks.io.images import jpeg, tags

EXTENSIONS = frozenset({"jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp"})
"""Endings of the names of files that are offered as images, in small letters."""

SHORTEST_SIDE = 8
"""Smaller images are refused: a latent pixel of the usual codecs is 8 pixels wide."""

Pixels = NDArray[np.uint8]
"""Pixels of an RGB image: (h, w, 3), 8 bits."""

Format = Literal["webp", "png", "jpeg"]

LONGEST_SIDE: dict[Format, int] = {"webp": 16_383, "png": 2**31 - 1, "jpeg": 65_500}
"""Pixels of a side that the formats, and the libraries that write them, can hold."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_ONE_FRAME_OF_MANY = ("MPO",)  # a phone's JPEG: its other frames are previews and depth
_TRANSPARENT = "transparent; flatten it onto a background first"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest image that is accepted: its width times height, and its file."""

    max_pixels: int
    max_bytes: int


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
    with _opened(data, limits) as image:
        width, height = image.size
        if _orientation(image) in _TRANSPOSED:
            width, height = height, width
        extension = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}.get(str(image.format))
        return Header(extension or str(image.format).lower(), width, height)


def decode(data: bytes, limits: Limits) -> Pixels:
    """Return the pixels (h, w, 3) of an image file.

    Raises:
        ImageRefused: the rules of this module exclude the file, or it is damaged.
    """
    with _opened(data, limits) as image:
        if image.format in ("JPEG", "MPO"):
            jpeg.load(image, data)
        image.load()
        turn, shown = _TURNS.get(_orientation(image)), _rgb(image)
        return np.asarray(shown if turn is None else shown.transpose(turn))


def encode(pixels: Pixels, file_format: Format) -> bytes:
    """Return pixels as an image file: WebP and PNG without loss, JPEG with quality 95.

    Raises:
        ImageRefused: a side is longer than the format can hold.
    """
    if complaint := too_long(pixels, file_format):
        raise ImageRefused(complaint)
    options = {
        "webp": {"lossless": True, "method": 0, "quality": 0},
        "png": {"compress_level": 1},
        "jpeg": {"quality": 95, "subsampling": 0},
    }[file_format]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, file_format.upper(), **options)
    return out.getvalue()


def too_long(pixels: Pixels, file_format: Format) -> str | None:
    """Return why a side is too long for a format; None if the format can hold the image."""
    longest = LONGEST_SIDE[file_format]
    if max(pixels.shape) <= longest:
        return None
    size = f"{pixels.shape[1]}×{pixels.shape[0]}"
    return f"too long for {file_format}: {size}, at most {longest} pixels a side; png holds more"


def extension_of(file_format: Format) -> str:
    """Return the ending of file names for a format, without the dot."""
    return "jpg" if file_format == "jpeg" else file_format


def fit_to(pixels: Pixels, resize: int | None, crop: int | None, limits: Limits) -> Pixels:
    """Return an image with its shorter side resized, and then cropped to a central square.

    Args:
        pixels: of the image.
        resize: pixels of the shorter side afterwards; None to leave the size.
        crop: pixels of the square's sides; None for no crop.
        limits: on the size after resizing.

    Raises:
        ImageRefused: the image is smaller than the square, or resizing makes it enormous.
    """
    image = Image.fromarray(pixels)
    if resize is not None:
        scale = resize / min(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if size[0] * size[1] > limits.max_pixels:
            raise ImageRefused(
                f"too many pixels after resizing: {size[0]}×{size[1]}, limit {limits.max_pixels}"
            )
        image = image.resize(size, Image.Resampling.LANCZOS)
    if crop is not None:
        if min(image.size) < crop:
            raise ImageRefused(f"too small to crop {crop}×{crop}: {image.width}×{image.height}")
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        image = image.crop((left, top, left + crop, top + crop))
    return np.asarray(image)


@contextmanager
def _opened(data: bytes, limits: Limits) -> Iterator[ImageFile.ImageFile]:
    """Open an image for the block, after all checks that need no decoding.

    Whatever a parser raises, here and in the block, becomes ``ImageRefused``.
    """
    if not data:
        raise ImageRefused("empty file")
    if len(data) > limits.max_bytes:
        raise ImageRefused(f"file too large: {len(data)} bytes, limit {limits.max_bytes}")
    try:
        if data.startswith(b"\xff\xd8\xff") and (complaint := jpeg.complaint(data)):
            raise ImageRefused(complaint)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _require_acceptable(image, limits)
            yield image
    except ImageRefused:
        raise
    except UnidentifiedImageError as error:
        raise ImageRefused("no image in one of the formats JPEG, PNG, WebP, TIFF, BMP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefused(f"too many pixels: {_first_line(error)}") from error
    except Exception as error:
        raise ImageRefused(f"damaged: {_first_line(error)}") from error


def _require_acceptable(image: Image.Image, limits: Limits) -> None:
    """Raise ImageRefused if the header tells a size or a number of frames that is excluded."""
    if image.width * image.height > limits.max_pixels:
        raise ImageRefused(
            f"too many pixels: {image.width}×{image.height}, limit {limits.max_pixels}"
        )
    if min(image.size) < SHORTEST_SIDE:
        raise ImageRefused(
            f"too small: {image.width}×{image.height}, at least {SHORTEST_SIDE} pixels a side"
        )
    if image.format not in _ONE_FRAME_OF_MANY and _has_second_frame(image):
        raise ImageRefused("animated or of several pages")


def _has_second_frame(image: Image.Image) -> bool:
    """Whether an image has a second frame or page.

    A TIFF is not asked for their number: Pillow takes time in its square to count them.
    """
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _orientation(image: Image.Image) -> int:
    """Return how an image is still to be turned; Pillow turns a TIFF, and its size, itself."""
    return 1 if image.format == "TIFF" else tags.orientation(image.info)


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image with three channels of 8 bits, by the rules of this module."""
    if image.mode in ("I", "F"):
        raise ImageRefused("32-bit samples, whose range is unknown")
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        if (wide == image.info.get("transparency")).any():  # Pillow converts no alpha of 16 bits
            raise ImageRefused(_TRANSPARENT)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise ImageRefused(_TRANSPARENT)
    return image.convert("RGB")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
