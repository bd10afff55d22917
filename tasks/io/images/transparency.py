"""Transparent images: what networks and viewers see of them, and what stays hidden.

Axes: b images, h and w height and width. Where a pixel is wholly transparent its colour is not
seen, but a network would carry it into pixels that are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tasks.io.images.raster import Pixels, Raster, full_intensity

_SHOWN = 0.5
"""Opacity from which a pixel counts in statistics."""


def without_hidden(raster: Raster) -> Pixels:
    """Return an image's pixels; those wholly transparent have the colour of the nearest other."""
    if raster.alpha is None or not (raster.alpha == 0).any():
        return raster.pixels
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(
        raster.alpha == 0, return_distances=False, return_indices=True
    )
    filled: Pixels = raster.pixels[rows, columns]
    return filled


def with_hidden(pixels: Pixels, raster: Raster) -> Pixels:
    """Return pixels made of an image with its own colours where it is wholly transparent."""
    if raster.alpha is None:
        return pixels
    scale = full_intensity(pixels.dtype) / full_intensity(raster.depth)
    own = raster.pixels * scale if scale != 1 else raster.pixels
    if pixels.dtype.kind != "f":
        own = np.rint(own)
    return np.where(raster.alpha[..., None] == 0, own.astype(pixels.dtype), pixels)


def opacity(rasters: Sequence[Raster], device: str = "cpu") -> Tensor | None:
    """Return alpha of images of one kind, (b, h, w) float in [0, 1]; None if they are opaque."""
    planes = [torch.from_numpy(r.alpha.copy()) for r in rasters if r.alpha is not None]
    if not planes:
        return None
    return torch.stack(planes).to(device).float() / full_intensity(rasters[0].depth)


def over_white(images: Tensor, alpha: Tensor | None) -> Tensor:
    """Return images (b, 3, h, w) in [0, 1] as they are seen on white; alpha is (b, h, w)."""
    return images if alpha is None else 1 - alpha[:, None] * (1 - images)


def shown_cells(alpha: Tensor, factor: int) -> Tensor:
    """Return which latent pixels count in statistics: (b, h // factor, w // factor) bool.

    Those whose factor × factor cell of image pixels is at least half opaque throughout.
    """
    least = -functional.max_pool2d(-alpha[:, None], factor)
    return least[:, 0] >= _SHOWN
