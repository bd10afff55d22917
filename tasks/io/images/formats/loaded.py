"""What is read of an image file of any format: samples as they are stored, alpha beside them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images.raster import NO_METADATA, Metadata, full_intensity

Samples = NDArray[Any]
"""Numbers uint8 or uint16 of full scale, or float32 in [0, 1]."""

_GREY_MODES = frozenset({"1", "L", "LA"})
_MODES = _GREY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK"}


class Loaded(NamedTuple):
    """An image file's pixels, and what it says beside them."""

    colours: Samples
    """(h, w) of grey, (h, w, 3) of RGB, (h, w, 4) of CMYK."""
    alpha: Samples | None = None
    """(h, w), of the same type; colours are not multiplied by it."""
    bits: int = 8
    """Bits of a sample in the file; 32 for floating-point numbers."""
    is_upright: bool = False
    """Whether the pixels are turned already, so that what Exif says of that no longer holds."""
    metadata: Metadata = NO_METADATA
    """As the file has it, where it is not found by Pillow; the orientation too."""

    @property
    def channels(self) -> int:
        """How many numbers a colour has."""
        return 1 if self.colours.ndim == 2 else int(self.colours.shape[2])


def of_pillow(image: Image.Image, *, is_upright: bool = False) -> Loaded:
    """Return the pixels of an image that Pillow has loaded, of 8 bits.

    Raises:
        ImageRefused: it has pixels of a kind that is not known.
    """
    if image.mode not in _MODES:
        raise ImageRefused(f"pixels of the kind {image.mode} are not read; save them as RGB")
    is_grey, alpha = image.mode in _GREY_MODES, None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"))
    if image.mode == "CMYK":
        return Loaded(np.asarray(image), is_upright=is_upright)
    shown = image.convert("L" if is_grey and alpha is None else "RGB")
    colours = np.asarray(shown)
    return Loaded(
        colours[..., 0] if colours.ndim == 3 and is_grey else colours, alpha, 8, is_upright
    )


def of_samples(samples: Samples, bits: int, *, is_upright: bool = False) -> Loaded:
    """Return pixels from samples (h, w) or (h, w, c): grey or RGB, with alpha behind it or without.

    Args:
        samples: whole numbers of up to so many bits, or floating-point ones in [0, 1].
        bits: of a sample.
        is_upright: whether the pixels are turned already.
    """
    wide = at_full_scale(samples, bits)
    if wide.ndim == 2:
        return Loaded(wide, None, bits, is_upright)
    channels = wide.shape[2]
    alpha = wide[..., -1] if channels in (2, 4) else None
    colours = wide[..., 0] if channels < 3 else wide[..., :3]
    return Loaded(colours, alpha, bits, is_upright)


def at_full_scale(samples: Samples, bits: int) -> Samples:
    """Return samples of so many bits, whose largest number becomes the largest of their type."""
    if samples.dtype.kind == "f" or bits in (8, 16):
        return samples
    most, full = (1 << bits) - 1, int(full_intensity(samples.dtype))
    table = (np.arange(most + 1, dtype=np.uint64) * full + most // 2) // most
    return np.take(table.astype(samples.dtype), np.minimum(samples, most))


_ROWS = 64


def unmultiplied(colours: Samples, alpha: Samples) -> Samples:
    """Return colours that were multiplied by alpha as they were before, rounded; 0 where it is 0.

    A colour beyond its alpha, which is none, becomes full intensity. It is done by rows, to need
    little memory.
    """
    divided = np.empty_like(colours)
    for top in range(0, len(colours), _ROWS):
        rows = slice(top, top + _ROWS)
        divided[rows] = _divided(colours[rows], alpha[rows])
    return divided


def _divided(colours: Samples, alpha: Samples) -> Samples:
    by = alpha if colours.ndim == alpha.ndim else alpha[..., None]
    if colours.dtype.kind == "f":
        quotient = np.divide(colours, by, out=np.zeros_like(colours), where=by > 0)
        return np.minimum(quotient, np.float32(1))
    full = np.uint64(full_intensity(colours.dtype))
    wide, divisor = colours.astype(np.uint64), np.maximum(by, 1).astype(np.uint64)
    return np.where(by > 0, np.minimum((wide * full + divisor // 2) // divisor, full), 0)


def require_unit_range(least: float, most: float, slack: float) -> None:
    """Check the ends of floating-point pixels, which must be in [0, 1].

    Args:
        least: the least of them.
        most: the most of them.
        slack: by how much they may be outside.

    Raises:
        ImageRefused: they are not, or one is no number.
    """
    if not (-slack <= least <= most <= 1 + slack):
        raise ImageRefused(
            f"floating-point pixels must be in [0, 1], got {least:g} to {most:g}; scale them"
        )
