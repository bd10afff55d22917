"""The numbers of an image as a format takes them: of another type, with as many channels."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.io.images.raster import Depth, Pixels, Raster, full_intensity

_ROWS_AT_ONCE = 256


def at_depth(levels: Pixels, depth: Depth) -> Pixels:
    """Return numbers of one type as those of another, rounded to the nearest; both go up to full.

    Floating-point numbers outside [0, 1] are clipped where whole ones are made of them.
    """
    if levels.dtype == depth:
        return levels
    found: Pixels = np.empty(levels.shape, depth)
    for start in range(0, len(levels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        found[rows] = _converted(levels[rows], depth)
    return found


def _converted(levels: Pixels, depth: Depth) -> NDArray[Any]:
    most, full = full_intensity(levels.dtype), full_intensity(depth)
    if depth.kind == "f":
        return (levels / np.float32(most)).astype(depth)
    if levels.dtype.kind == "f":
        return np.rint(levels.clip(0, 1) * np.float32(full)).astype(depth)
    if full > most:
        widened: NDArray[Any] = levels.astype(depth) * depth.type(full / most)
        return widened
    step = round(most / full)
    return ((levels.astype(np.uint32) + step // 2) // step).astype(depth)


def samples(raster: Raster, depth: Depth, rows: slice = slice(None)) -> Pixels:
    """Return an image, or some rows, as one array: (h, w) of grey, or else (h, w, channels).

    There is one channel for a grey image, three for any other, and then alpha, if there is some.
    Grey is the mean of three channels that differ.
    """
    colour = at_depth(raster.pixels[rows], depth)
    if raster.is_grey:
        colour = _grey(colour)
    if raster.alpha is None:
        alone: Pixels = colour[..., 0] if raster.is_grey else colour
        return alone if alone.flags.c_contiguous else alone.copy()
    found: Pixels = np.empty((*colour.shape[:2], colour.shape[2] + 1), depth)
    found[..., :-1], found[..., -1] = colour, at_depth(raster.alpha[rows], depth)
    return found


def bands(raster: Raster, depth: Depth, rows: int) -> Iterator[Pixels]:
    """Yield the samples of an image, so many rows at a time."""
    for start in range(0, raster.height, rows):
        yield samples(raster, depth, slice(start, start + rows))


def of_bits(levels: Pixels, bits: int) -> Pixels:
    """Return numbers of 16 bits as those of fewer bits, rounded to the nearest."""
    most = (1 << bits) - 1
    return ((levels.astype(np.uint32) * most + 0x7FFF) // 0xFFFF).astype(np.uint16)


def _grey(colour: Pixels) -> Pixels:
    first = colour[..., :1]
    if np.array_equal(first, colour[..., 1:2]) and np.array_equal(first, colour[..., 2:]):
        return first
    found: Pixels = np.empty(first.shape, colour.dtype)
    mean = colour.mean(axis=2, dtype=np.float64, keepdims=True)
    found[:] = mean if colour.dtype.kind == "f" else np.rint(mean)
    return found
