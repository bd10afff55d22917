"""Cut-outs of images: a textured region pixel for pixel, and the whole image to zoom into."""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.io.images import Pixels
from tasks.io.images.conversion.shown import Shown
from tasks.report.pages import data_address

SIDE = 256
"""Pixels of the longest side of a cut-out."""

_LONGEST = 1024
"""Pixels of the longest side of a whole image; a larger one is made smaller."""


class Box(NamedTuple):
    """A region of an image in pixels; ``bottom`` and ``right`` are beyond it."""

    top: int
    left: int
    bottom: int
    right: int


class Cutout(NamedTuple):
    """A region without loss, and the image that it is cut from, as `data:` addresses.

    ``whole`` is None where the region is the whole image. Width and height are the region's.
    """

    address: str
    width: int
    height: int
    whole: str | None


def textured_box(pixels: Pixels) -> Box:
    """The region of an image (h, w, 3) with the most texture: the steepest steps of grey.

    It is the median of the steps that counts, so that a single edge does not win.
    """
    height, width = pixels.shape[:2]
    tall, wide = min(SIDE, height), min(SIDE, width)
    steps = _steps(pixels)
    boxes = [
        Box(top, left, top + tall, left + wide)
        for top in _starts(height, tall)
        for left in _starts(width, wide)
    ]
    return max(
        boxes, key=lambda box: float(np.median(steps[box.top : box.bottom, box.left : box.right]))
    )


def cut_out(shown: Shown, box: Box) -> Cutout:
    """The region of an image, or the middle of one that is not as large."""
    pixels = shown.pixels
    height, width = pixels.shape[:2]
    if box.bottom > height or box.right > width:
        tall, wide = min(SIDE, height), min(SIDE, width)
        top, left = (height - tall) // 2, (width - wide) // 2
        box = Box(top, left, top + tall, left + wide)
    region = pixels[box.top : box.bottom, box.left : box.right]
    whole = None if region.shape == pixels.shape else _whole(shown)
    address = _webp(Image.fromarray(region), shown.icc, lossless=True)
    return Cutout(address, region.shape[1], region.shape[0], whole)


def _steps(pixels: Pixels) -> NDArray[np.float32]:
    """How much grey (h, w) differs from its neighbours below and on the right."""
    grey = pixels.astype(np.float32).mean(axis=2)
    steps: NDArray[np.float32] = np.abs(np.diff(grey, axis=0, append=grey[-1:]))
    steps += np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    return steps


def _starts(length: int, part: int) -> list[int]:
    """Where regions of a side begin: eight of them, the first and the last at the edges."""
    return sorted({int(start) for start in np.linspace(0, length - part, 8)})


def _whole(shown: Shown) -> str:
    image = Image.fromarray(shown.pixels)
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return _webp(image, shown.icc, lossless=False)


def _webp(image: Image.Image, icc: bytes, *, lossless: bool) -> str:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=lossless, quality=75 if lossless else 90, icc_profile=icc)
    return data_address(out.getvalue(), "image/webp")
