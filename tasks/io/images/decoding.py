"""Image files read: which are accepted, their pixels, what they say. All input is untrusted.

The rules: JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC and JPEG XL of one frame. Pixels keep the depth
of the file, in RGB: grey becomes three equal channels, palettes are looked up, CMYK is converted
by the profile of the file to sRGB, and without one by the plain formula. Alpha is kept where it
is not opaque everywhere. The orientation is applied. Everything else is refused with a reason,
and so is an image that can be told to be damaged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageFile

from tasks.io.errors import ImageRefused
from tasks.io.images.conversion.colour import (
    ProfileUnusable,
    cmyk_without_profile,
    converted,
    in_srgb,
)
from tasks.io.images.formats import avif, bmp, heic, jpeg, jxl, png, tiff
from tasks.io.images.formats.loaded import Loaded, Samples, of_pillow
from tasks.io.images.limits import AS_IT_IS, Limits, Wanted
from tasks.io.images.metadata.found import found_by_pillow, settled
from tasks.io.images.metadata.orientation import orientation_of
from tasks.io.images.metadata.profiles import complaint, srgb_profile
from tasks.io.images.opening import opened, reasons, require_bytes
from tasks.io.images.raster import NO_METADATA, FileFormat, Raster, full_intensity

EXTENSIONS = frozenset(
    {
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "dib"),
        *("avif", "heic", "heif", "hif", "jxl"),
    }
)
"""Endings of the names of files that are offered as images, in small letters."""

UNREAD_EXTENSIONS = frozenset(
    {
        *("apng", "exr", "gif", "hdr", "ico", "j2k", "jp2", "jpf", "jpx"),
        *("cr2", "cr3", "dng", "nef", "orf", "raf", "rw2"),
        *("pbm", "pfm", "pgm", "pnm", "ppm", "psd", "tga"),
    }
)
"""Endings of pictures that are not read: where they are left out, that is said."""

_LOADERS: dict[str, Callable[[ImageFile.ImageFile, bytes], Loaded]] = {
    "JPEG": jpeg.load,
    "MPO": jpeg.load,
    "PNG": png.load,
    "TIFF": tiff.load,
    "WEBP": lambda image, _: of_pillow(image),
    "BMP": bmp.load,
    "AVIF": avif.load,
}
"""What decodes the pixels, by Pillow's names of formats."""

_FILE_FORMATS: dict[str, FileFormat] = {
    "JPEG": "jpeg",
    "MPO": "jpeg",
    "PNG": "png",
    "TIFF": "tiff",
    "WEBP": "webp",
    "BMP": "bmp",
    "AVIF": "avif",
}
"""Formats by Pillow's names of them."""

_NOT_BY_PILLOW: tuple[
    tuple[Callable[[bytes], bool], Callable[[bytes, Limits, Wanted], Loaded], FileFormat],
    ...,
] = (
    (tiff.is_in_pieces, tiff.load_pieces, "tiff"),
    (jxl.is_jxl, jxl.load, "jxl"),
    (lambda data: heic.format_in_boxes(data) == "heic", heic.load, "heic"),
)
"""What Pillow does not open: how it is told, and what decodes it."""

_CHANNELS = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "I;16B": 1, "CMYK": 4}
"""How many numbers a colour has, by Pillow's names of modes; all others have three."""

_TRANSPOSED = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Header:
    """Format and size of an image file; width and height as shown, orientation applied."""

    extension: str
    width: int
    height: int
    has_profile: bool = False
    remark: str = ""
    """Why its colour profile is left out, if it is."""


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
        name = str(image.format)
        extension = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}.get(name, name.lower())
        icc = found_by_pillow(image.info).icc
        what = complaint(icc, _CHANNELS.get(image.mode, 3)) if icc else None
        remark = "" if what is None else f"colour profile left out: it {what}"
        return Header(extension, width, height, bool(icc), remark)


def decode(data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Raster:
    """Return an image file decoded.

    Args:
        data: the file.
        limits: of its bytes and pixels.
        wanted: which frame, and in which colours.

    Raises:
        ImageRefused: the rules of this module exclude the file, or it is damaged.
    """
    require_bytes(data, limits)
    with reasons():
        for is_it, load, file_format in _NOT_BY_PILLOW:
            if is_it(data):
                return _raster(load(data, limits, wanted), file_format, limits, wanted)
    data = png.still(data) if wanted.first_frame else data
    with opened(data, limits, wanted) as image:
        loaded = _LOADERS[str(image.format)](image, data)
        if loaded.metadata is NO_METADATA:
            loaded = loaded._replace(metadata=found_by_pillow(image.info))
        return _raster(loaded, _FILE_FORMATS[str(image.format)], limits, wanted)


def _raster(loaded: Loaded, file_format: FileFormat, limits: Limits, wanted: Wanted) -> Raster:
    """Return what was read of a file, upright, in RGB, with what goes along.

    Raises:
        ImageRefused: the image is transparent everywhere.
    """
    found = loaded.metadata
    turn = 1 if loaded.is_upright else orientation_of(found.exif, found.xmp)
    metadata, remark = settled(found, loaded.channels, limits.max_bytes)
    colours = loaded.colours
    if loaded.channels == 4:
        colours, icc, remark = _cmyk_in_rgb(colours, metadata.icc, remark)
        metadata = metadata._replace(icc=icc)
    alpha = _needed(loaded.alpha)
    raster = Raster(
        pixels=_turned(_in_three_channels(colours), turn),
        alpha=None if alpha is None else _turned(alpha, turn),
        is_grey=loaded.channels == 1,
        file_format=file_format,
        bits=loaded.bits,
        metadata=metadata,
        remark=remark,
    )
    return in_srgb(raster) if wanted.srgb else raster


def _cmyk_in_rgb(samples: Samples, icc: bytes, remark: str) -> tuple[Samples, bytes, str]:
    """Return CMYK in RGB, the profile of these numbers, and why the file's profile is left out."""
    if icc:
        try:
            return converted(samples, icc), srgb_profile(), remark
        except ProfileUnusable as error:
            remark = "; ".join(filter(None, (remark, str(error))))
    return cmyk_without_profile(samples), b"", remark


def _in_three_channels(colours: Samples) -> Samples:
    if colours.ndim == 3:
        return colours
    return np.broadcast_to(colours[..., None], (*colours.shape, 3))


def _needed(alpha: Samples | None) -> Samples | None:
    """Return alpha; None where it is opaque everywhere.

    Raises:
        ImageRefused: it is transparent everywhere.
    """
    if alpha is None or alpha.min() >= full_intensity(alpha.dtype):
        return None
    if alpha.max() <= 0:
        raise ImageRefused("transparent everywhere")
    return alpha


def _turned(plane: Samples, orientation: int) -> Samples:
    """Return pixels turned as an orientation of Exif says."""
    if orientation in _TRANSPOSED:
        plane = plane.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return plane[:, ::-1] if orientation in (2, 3, 6, 7) else plane


def _orientation(image: ImageFile.ImageFile) -> int:
    """Return how an opened image is still to be turned; a TIFF Pillow turns itself."""
    found = found_by_pillow(image.info)
    return 1 if image.format == "TIFF" else orientation_of(found.exif, found.xmp)
