"""A caller's images, arrays or Pillow's, as they are enhanced and as they are given back."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tasks.io.images import Pixels, Raster
from tasks.io.images.raster import EIGHT_BITS
from tasks.io.images.writers.levels import samples

_TYPES = ("uint8", "uint16", "float32")

_MODES = ("L", "LA", "RGB", "RGBA", "I;16")
"""Modes of Pillow that are arrays as they are taken here."""


def require_images(images: object) -> None:
    """Check that images are a sequence of arrays, or of images of Pillow.

    Raises:
        TypeError: they are not, as names of files are none.
    """
    if isinstance(images, str | bytes | PathLike):
        raise TypeError(_not_images(images, "open it, as by PIL.Image.open(path)"))
    if not isinstance(images, Sequence):
        raise TypeError(_not_images(images, "give them as a list"))
    for image in images:
        if isinstance(image, str | bytes | PathLike):
            raise TypeError(_not_images(image, "open it, as by PIL.Image.open(path)"))
        if isinstance(image, torch.Tensor):
            remedy = "stack those of one size, as by torch.stack(images), or convert each to NumPy"
            raise TypeError(_not_images(image, remedy))
        if not isinstance(image, np.ndarray | Image.Image):
            raise TypeError(_not_images(image, "convert it, as by numpy.asarray(image)"))


def _not_images(found: object, remedy: str) -> str:
    what = repr(found) if isinstance(found, str | PathLike) else type(found).__name__
    return (
        "images must be arrays of NumPy, images of Pillow, or one tensor (b, 3, h, w) of several, "
        f"got {what}; {remedy}"
    )


def raster_of(image: NDArray[Any]) -> Raster:
    """Return an array as an image.

    Args:
        image: (h, w) or (h, w, c) with 1 to 4 channels: grey or RGB, and opacity behind it if
            their number is even. Whole numbers go up to the largest of their type, floating-point
            ones from 0 to 1.

    Raises:
        TypeError: it has numbers of another type than uint8, uint16 or float32.
        ValueError: it has another shape, no pixels, or numbers outside [0, 1].
    """
    if image.dtype.name not in _TYPES:
        raise TypeError(
            f"an image must have numbers of {', '.join(_TYPES)}, got {image.dtype}; convert it, "
            "as by image.astype('float32') where they are in [0, 1]"
        )
    channels = {2: 1, 3: image.shape[-1]}.get(image.ndim, 0)
    if channels not in range(1, 5):
        raise ValueError(
            "an image must be (h, w), or (h, w, c) with 1 to 4 channels (grey or RGB, with "
            f"opacity or without), got {image.shape}"
        )
    if not image.size:
        raise ValueError(f"an image must have pixels, got {image.shape}; leave it out")
    if image.dtype.kind == "f" and not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(
            f"an image of float32 must be in [0, 1], got {image.min():g} to {image.max():g}"
        )
    planes, is_clear, is_grey = image.reshape(*image.shape[:2], -1), channels % 2 == 0, channels < 3
    colours = planes[..., : 1 if is_grey else 3]
    return Raster(
        pixels=np.repeat(colours, 3, axis=2) if is_grey else np.ascontiguousarray(colours),
        alpha=np.ascontiguousarray(planes[..., -1]) if is_clear else None,
        is_grey=is_grey,
    )


def array_of(raster: Raster, pixels: Pixels) -> NDArray[Any]:
    """Return an image as an array: (h, w) of grey, or else (h, w, c), opacity being the last.

    Args:
        raster: says whether it is grey, and has its opacity.
        pixels: (h, w, 3), in place of its own.
    """
    return samples(raster.showing(pixels), pixels.dtype)


def array_of_pillow(image: Image.Image) -> NDArray[Any]:
    """Return the pixels of an image of Pillow.

    Raises:
        ValueError: its mode says nothing of what is grey or RGB here, as that of a palette.
    """
    if image.mode not in _MODES:
        raise ValueError(
            f"an image of Pillow must have one of the modes {', '.join(_MODES)}, got "
            f"{image.mode}; convert it, as by image.convert('RGB')"
        )
    return np.asarray(image)


def pillow_of(image: NDArray[Any], info: Mapping[str | tuple[int, int], Any]) -> Image.Image:
    """Return an array as an image of Pillow: of 8 bits, but grey of 16 as it is.

    Args:
        image: from ``array_of``.
        info: what Pillow is to keep beside the pixels, as ``icc_profile``.
    """
    if image.dtype != EIGHT_BITS and not (image.dtype == np.uint16 and image.ndim == 2):
        most = 1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        image = np.rint(image.clip(0, most) * (255 / most)).astype(np.uint8)
    made = Image.fromarray(image)
    made.info = dict(info)
    return made
