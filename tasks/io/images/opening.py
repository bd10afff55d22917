"""Image files opened: what begins like an image, and is not excluded by its header."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, UnidentifiedImageError

from tasks.io.errors import ImageRefused
from tasks.io.images.formats import jpeg, png, tiff_layout
from tasks.io.images.limits import AS_IT_IS, SEVERAL_FRAMES, Limits, Wanted

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")
_SIGNATURES = (
    ("JPEG", b"\xff\xd8\xff", b""),
    ("PNG", png.SIGNATURE, b""),
    ("WEBP", b"RIFF", b"WEBP"),
    ("TIFF", b"II*\0", b""),
    ("TIFF", b"MM\0*", b""),
    ("AVIF", b"", b"ftypavi"),
)
"""How the formats begin; a BMP's two letters begin many texts too."""

_COMPLAINTS = (
    (b"\xff\xd8\xff", jpeg.complaint),
    (png.SIGNATURE, png.complaint),
    (b"II", tiff_layout.complaint),
    (b"MM", tiff_layout.complaint),
)
"""What tells from the first bytes of a file why it is of a kind that Pillow misreads."""

_ONE_FRAME_OF_MANY = ("MPO",)  # a phone's JPEG: its other frames are previews and depth


MOST_PIXELS = 1 << 31
"""Pixels of the largest image that can be accepted at all."""

# Pillow's own limit, which it takes from nowhere else, would refuse images of 2²⁸ pixels.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS


@contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever a parser raises in the block into ``ImageRefused``."""
    try:
        yield
    except ImageRefused:
        raise
    except UnidentifiedImageError as error:
        raise ImageRefused(
            "no image in one of the formats JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefused(f"too many pixels: {_first_line(error)}") from error
    except Exception as error:
        if _is_short_of_memory(error):
            raise ImageRefused("out of memory while decoding") from MemoryError(str(error))
        raise _refusal(_first_line(error)) from error


_SHORT_OF_MEMORY = "Memory allocation error: "
_AT_A_LIMIT = "Memory allocation error: Security limit exceeded: "
"""How libheif begins to say that memory has ended, and that a file asks for more than it grants."""


def _refusal(reason: str) -> ImageRefused:
    """Return the refusal of a file over which a parser said this."""
    if reason.startswith("Unsupported"):
        return ImageRefused(f"of a kind that is not read ({reason}); save it as PNG")
    if reason.startswith("Decompressed data too large"):
        return ImageRefused("colour profile or text of more than a mebibyte; save it anew without")
    if reason.startswith(_AT_A_LIMIT):
        return ImageRefused(f"beyond the limits of its parser: {reason.removeprefix(_AT_A_LIMIT)}")
    return ImageRefused(f"damaged: {reason}")


def _is_short_of_memory(error: Exception) -> bool:
    """Whether an error says in other words that it is a MemoryError."""
    said = str(error)
    return said.startswith(_SHORT_OF_MEMORY) and not said.startswith(_AT_A_LIMIT)


def require_bytes(data: bytes, limits: Limits) -> None:
    """Raise ImageRefused if a file is empty or too large."""
    if not data:
        raise ImageRefused("empty file")
    if len(data) > limits.max_bytes:
        raise ImageRefused(f"file too large: {len(data)} bytes, limit {limits.max_bytes}")


@contextmanager
def opened(data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Iterator[ImageFile.ImageFile]:
    """Open an image with Pillow for the block, after all checks that need no decoding.

    Whatever a parser raises, here and in the block, becomes ``ImageRefused``.
    """
    require_bytes(data, limits)
    with reasons():
        _require_known_kind(data)
        with _open(png.without_bad_text(data)) as image:
            limits.require_size(*image.size)
            _require_one_frame(image, wanted)
            yield image


def _open(data: bytes) -> ImageFile.ImageFile:
    """Open an image with Pillow.

    Raises:
        UnidentifiedImageError: the file does not begin as one of the formats does.
        Exception: of a file that does, Pillow cannot read the header.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        for name, signature, further in _SIGNATURES:
            if data.startswith(signature) and further in data[:12]:
                Image.OPEN[name][0](io.BytesIO(data), "")  # raises what Pillow has kept to itself
        raise
    if not isinstance(image, ImageFile.ImageFile):
        raise TypeError(f"an opened image must be an ImageFile, got {type(image)}")
    return image


def _require_known_kind(data: bytes) -> None:
    """Raise ImageRefused if a file is of a kind that Pillow misreads, or does not know."""
    for signature, complaint in _COMPLAINTS:
        if data.startswith(signature) and (reason := complaint(data)):
            raise ImageRefused(reason)


def _require_one_frame(image: ImageFile.ImageFile, wanted: Wanted) -> None:
    """Raise ImageRefused if an image has several frames, unless the first one is wanted."""
    if image.format in _ONE_FRAME_OF_MANY or not _has_second_frame(image):
        return
    if not wanted.first_frame:
        raise ImageRefused(SEVERAL_FRAMES)
    image.seek(0)


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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
