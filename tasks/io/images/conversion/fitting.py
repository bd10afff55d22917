"""Images resized and cropped as they come in, at their depth, and with their alpha."""

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images.limits import Limits
from tasks.io.images.raster import Alpha, Depth, Pixels, Raster, full_intensity

ResizeFilter = Literal["lanczos", "bicubic", "bilinear", "area"]
"""How an image is resized; when it becomes smaller, each of them averages as Pillow's do."""

_RESAMPLING: dict[ResizeFilter, Image.Resampling] = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}


_Plane = NDArray[np.float32]


class _Size(NamedTuple):
    width: int
    height: int


def fit_to(
    raster: Raster,
    resize: int | None,
    crop: int | None,
    limits: Limits,
    *,
    resize_filter: ResizeFilter = "lanczos",
) -> Raster:
    """Return an image with its shorter side resized, and then cropped to a central square.

    Colours are weighed by alpha, so that those of transparent pixels do not show.

    Args:
        raster: the image.
        resize: pixels of the shorter side afterwards; None to leave the size.
        crop: pixels of the square's sides; None for no crop.
        limits: on the size after resizing.
        resize_filter: by which it is resized; no effect where ``resize`` is None.

    Raises:
        ImageRefused: the image is smaller than the square, or resizing makes it enormous.
    """
    if resize is not None:
        scale = resize / min(raster.width, raster.height)
        size = _Size(max(1, round(raster.width * scale)), max(1, round(raster.height * scale)))
        if size.width * size.height > limits.max_pixels:
            raise ImageRefused(
                f"too many pixels after resizing: {size.width}×{size.height}, "
                f"limit {limits.max_pixels}"
            )
        raster = _resized(raster, size, _RESAMPLING[resize_filter])
    return raster if crop is None else _cropped(raster, crop)


def _resized(raster: Raster, size: _Size, by: Image.Resampling) -> Raster:
    if raster.depth == np.uint8 and raster.alpha is None:
        image = Image.fromarray(np.ascontiguousarray(raster.pixels))
        return raster.showing(np.asarray(image.resize(size, by)))
    alpha = None if raster.alpha is None else _in_unit(raster.alpha)
    wanted = None if alpha is None else _plane_resized(alpha, size, by).clip(0, 1)
    planes = []
    for channel in range(1 if raster.is_grey else 3):
        plane = _in_unit(raster.pixels[..., channel])
        if alpha is None or wanted is None:
            planes.append(_plane_resized(plane, size, by))
            continue
        weighed = _plane_resized(plane * alpha, size, by)
        planes.append(np.divide(weighed, wanted, out=np.zeros_like(weighed), where=wanted > 0))
    colours: _Plane = np.stack(planes * (3 // len(planes)), axis=-1)
    return replace(
        raster,
        pixels=_at_depth(colours, raster.depth),
        alpha=None if wanted is None else _at_depth(wanted, raster.depth),
    )


def _in_unit(plane: Pixels | Alpha) -> _Plane:
    return plane.astype(np.float32) / np.float32(full_intensity(plane.dtype))


def _plane_resized(plane: _Plane, size: _Size, by: Image.Resampling) -> _Plane:
    return np.asarray(Image.fromarray(plane).resize(size, by))


def _at_depth(values: _Plane, depth: Depth) -> Pixels:
    """Return values clipped to [0, 1] as numbers of a type."""
    clipped = values.clip(0, 1)
    if depth.kind == "f":
        return clipped
    whole: Pixels = np.rint(clipped * np.float32(full_intensity(depth))).astype(depth)
    return whole


def _cropped(raster: Raster, crop: int) -> Raster:
    if min(raster.width, raster.height) < crop:
        raise ImageRefused(f"too small to crop {crop}×{crop}: {raster.width}×{raster.height}")
    left, top = (raster.width - crop) // 2, (raster.height - crop) // 2
    window = (slice(top, top + crop), slice(left, left + crop))
    alpha = None if raster.alpha is None else raster.alpha[window]
    return replace(raster, pixels=raster.pixels[window], alpha=alpha)
