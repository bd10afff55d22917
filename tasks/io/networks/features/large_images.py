"""Large images as networks of the metrics see them: on white, and never all of one in float32.

Axes: h and w height and width of an image, y and x of a part of it.
"""

from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.io.images import Pixels, Raster
from tasks.io.images.pixels import as_levels, to_bytes, to_tensor
from tasks.io.images.raster import EIGHT_BITS
from tasks.io.images.transparency import opacity, over_white
from tasks.io.machine.scratch import let_go, scratch_array

_ROWS = 256
"""Rows that are made into other pixels at once."""


def reader(pixels: Pixels, raster: Raster, device: str) -> Reader:
    """Return what reads rows and columns of an image as they are seen on white.

    Args:
        pixels: of the image, of any depth.
        raster: whose alpha it has.
        device: where the rows and columns, (1, 3, y, x) in [0, 1], are wanted.
    """

    def read(down: range, across: range) -> Tensor:
        window = slice(down.start, down.stop), slice(across.start, across.stop)
        tile = _on_white(pixels, raster, window, device)
        let_go(pixels)
        return tile

    return read


def _on_white(pixels: Pixels, raster: Raster, window: tuple[slice, slice], device: str) -> Tensor:
    """Return a window of an image as it is seen on white, (1, 3, y, x) in [0, 1]."""
    tile = to_tensor([pixels[window]], device)
    if raster.alpha is None:
        return tile
    part = Raster(pixels=raster.pixels[window], alpha=raster.alpha[window])
    return over_white(tile, opacity([part], device))


def in_bytes(pixels: Pixels, raster: Raster) -> Tensor:
    """Return an image as it is seen on white, uint8 (1, 3, h, w).

    It is a view of one that is so already; else it lies on disk.

    Args:
        pixels: of the image, of any depth.
        raster: whose alpha it has.
    """
    if raster.alpha is None and pixels.dtype == EIGHT_BITS:
        return as_levels(pixels).movedim(-1, 0)[None]
    seen = scratch_array(pixels.shape, EIGHT_BITS)
    for top in range(0, len(pixels), _ROWS):
        window = slice(top, top + _ROWS), slice(None)
        part = to_bytes(_on_white(pixels, raster, window, "cpu"))
        seen[window] = part[0].movedim(0, -1).numpy()
    return as_levels(seen).movedim(-1, 0)[None]
