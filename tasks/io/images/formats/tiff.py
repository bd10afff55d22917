"""The pixels of a TIFF: read by Pillow and mended, or piece by piece; the damage that is hidden."""

import io
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from tasks.io.errors import ImageRefused
from tasks.io.images.formats import jpeg
from tasks.io.images.formats.loaded import (
    Loaded,
    Samples,
    at_full_scale,
    of_pillow,
    require_unit_range,
    unmultiplied,
)
from tasks.io.images.formats.tiff_layout import (
    CMYK,
    DEFLATE,
    GREY,
    JPEG,
    MOST_TAGS,
    RGB,
    Layout,
    complaint,
)
from tasks.io.images.formats.tiff_samples import Grid, Piece, pieces_of, samples_of
from tasks.io.images.limits import SEVERAL_FRAMES, Limits, Wanted
from tasks.io.images.metadata.exif import exif_in_tiff
from tasks.io.images.metadata.tags import Directory
from tasks.io.images.raster import Metadata

_COLOURS, _JPEG_TABLES, _XMP, _PROFILE = 320, 347, 700, 34675
_SLACK = 0.5 / 65535
"""How far floating-point numbers may lie outside of [0, 1]: half of a step of 16 bits."""


def load(image: ImageFile.ImageFile, data: bytes) -> Loaded:
    """Return the pixels of an opened TIFF of a layout that Pillow reads, which turns it too.

    Raises:
        ValueError, zlib.error: pixels are missing or damaged, or have a colour that the palette
            has not.
        OSError: libtiff, or Pillow, gives up.
    """
    if (directory := Directory.of(data, MOST_TAGS)) is None:
        raise ValueError("it has no tags")
    layout = Layout.of(directory)
    pieces = pieces_of(directory, layout, Grid.of(directory, layout))
    _require_sound(pieces, directory, layout)
    image.load()
    shown = _in_colours(np.asarray(image), directory) if image.mode == "P" else image
    loaded = of_pillow(shown, is_upright=True)
    resolution = image.info.get("dpi")
    return loaded._replace(metadata=_metadata(directory)._replace(resolution=resolution))


def is_in_pieces(data: bytes) -> bool:
    """Whether a file is a TIFF of a layout that is read, but not by Pillow.

    Raises:
        struct.error: a tag lies outside of the file.
    """
    directory = Directory.of(data, MOST_TAGS)
    return (
        directory is not None
        and complaint(data) is None
        and not Layout.of(directory).is_read_by_pillow
    )


def load_pieces(data: bytes, limits: Limits, wanted: Wanted) -> Loaded:
    """Return the pixels of a TIFF that is read piece by piece.

    Raises:
        ImageRefused: the size is excluded, there are several pages, or the pixels are
            floating-point numbers outside of [0, 1].
        Exception: pixels are missing or damaged.
    """
    if (directory := Directory.of(data, MOST_TAGS)) is None:
        raise ValueError("it has no tags")
    layout = Layout.of(directory)
    grid = Grid.of(directory, layout)
    limits.require_size(grid.width, grid.height)
    if directory.next_place and not wanted.first_frame:
        raise ImageRefused(SEVERAL_FRAMES)
    loaded = _coloured(samples_of(directory, layout, grid), layout)
    return loaded._replace(metadata=_metadata(directory))


def _metadata(directory: Directory) -> Metadata:
    return Metadata(
        icc=directory.content(_PROFILE),
        exif=exif_in_tiff(directory),
        xmp=directory.content(_XMP),
    )


def _coloured(samples: Samples, layout: Layout) -> Loaded:
    """Return what samples mean: colours, and alpha if they have it."""
    if layout.is_float:
        samples = _in_range(samples)
    bits = 32 if layout.is_float else layout.depth
    wide = at_full_scale(samples, bits)
    if wide.ndim == 2:
        return Loaded(wide, None, bits)
    channels = {GREY: 1, CMYK: 4}.get(layout.photometric, 3)
    colours = wide[..., 0] if channels == 1 else wide[..., :channels]
    if not layout.has_alpha:
        return Loaded(colours, None, bits)
    alpha = wide[..., channels]
    return Loaded(unmultiplied(colours, alpha) if layout.is_multiplied else colours, alpha, bits)


def _in_range(samples: Samples) -> NDArray[np.float32]:
    """Return floating-point numbers of 32 bits, all of them in [0, 1].

    Raises:
        ImageRefused: some are outside, or no numbers.
    """
    require_unit_range(float(samples.min()), float(samples.max()), _SLACK)
    return samples.astype(np.float32, copy=False).clip(0, 1)


def _in_colours(indices: NDArray[np.uint8], directory: Directory) -> Image.Image:
    """Return what a palette's indices show.

    Of colours of 16 bits the upper 8 count, as programs write 256 or 257 times a colour of 8
    bits; and colours that are all below 256 have 8 bits, which old programs wrote, as libtiff
    does.
    """
    colours = np.array(directory.numbers(_COLOURS), np.uint16).reshape(3, -1).T
    if indices.max() >= len(colours):
        raise ValueError("a pixel has a colour that its palette has not")
    narrow = colours >> 8 if colours.max() > 255 else colours
    return Image.fromarray(narrow.astype(np.uint8)[indices])


def _require_sound(pieces: list[Piece], directory: Directory, layout: Layout) -> None:
    """Raise an error if data of strips or tiles are damaged in a way that libtiff passes over."""
    most = max(piece.need for piece in pieces)
    tables = directory.content(_JPEG_TABLES)
    for piece in pieces:
        if layout.compression in DEFLATE:
            _require_checksum(piece.data, most)
        if layout.compression == JPEG:
            whole = tables[:-2] + piece.data[2:] if tables else piece.data
            _require_whole_jpeg(whole, piece.need, is_rgb=layout.photometric == RGB)


def _require_checksum(piece: bytes, most_bytes: int) -> None:
    """Raise an error if deflated data are damaged; libtiff does not look at their checksum."""
    inflating = zlib.decompressobj()
    inflating.decompress(piece, most_bytes + 1)
    if not inflating.eof:
        raise ValueError("the data of one of its strips or tiles go on behind its pixels")


def _require_whole_jpeg(data: bytes, most_bytes: int, *, is_rgb: bool) -> None:
    """Raise an error if a JPEG that a TIFF contains is damaged, or larger than its strip.

    And if it says itself that its three components are RGB, or that they are not, and the TIFF
    says otherwise: libtiff would not ask it.
    """
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        if image.width * image.height > most_bytes or not isinstance(image, ImageFile.ImageFile):
            raise ValueError("one of its JPEGs is larger than its strip or tile")
        said = _says_rgb(image.info)
        if image.mode == "RGB" and said is not None and said != is_rgb:
            names = ("YCbCr", "RGB")
            raise ValueError(f"one of its JPEGs is {names[said]}, its tags say {names[is_rgb]}")
        jpeg.load(image, data)


def _says_rgb(info: Mapping[Any, Any]) -> bool | None:
    """Return whether a JPEG of three components says they are RGB; None if it says nothing.

    Args:
        info: its metadata as Pillow has them. JFIF is YCbCr always; Adobe's segment tells.
    """
    if "jfif" in info:
        return False
    return info["adobe_transform"] == 0 if "adobe_transform" in info else None
