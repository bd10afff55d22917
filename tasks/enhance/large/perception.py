"""LPIPS and features of large images as they were written, read from the disk in tiles."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.enhance.large.subject import LargeImage
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels, Raster
from tasks.io.images.pixels import as_levels, to_bytes, to_tensor
from tasks.io.images.raster import EIGHT_BITS
from tasks.io.images.transparency import opacity, over_white
from tasks.io.machine.scratch import let_go, scratch_array
from tasks.io.networks.features.extractors import Seen, see
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE
from tasks.io.workspace import Signal

_ROWS = 256
"""Rows of a large image that are made into other pixels at once."""


def perceive_large(networks: Networks, image: LargeImage, wanted: Collection[Signal]) -> None:
    """Add LPIPS and features of the images of wanted signals to a large picture."""
    shown = {signal: image.pixels[signal] for signal in image.pixels if signal in wanted}
    found = seen_in_tiles(networks, shown, image.reference, image.pair.raster, image.device)
    image.lpips, image.features = found


@torch.inference_mode()
def seen_in_tiles(
    networks: Networks,
    images: Mapping[Signal, Pixels],
    reference: Pixels | None,
    raster: Raster,
    device: str,
) -> tuple[dict[Signal, float], dict[Signal, Seen]]:
    """Return LPIPS and features of one large picture's images, by signal.

    Args:
        networks: of the metrics.
        images: of each signal, as they are written.
        reference: ground truth; None without any.
        raster: the picture, whose alpha the images have.
        device: that the networks are on.
    """
    lpips, features = dict[Signal, float](), dict[Signal, Seen]()
    size = raster.height, raster.width
    is_compared = reference is not None and min(size) >= LPIPS_SHORTEST_SIDE and len(images) > 0
    if networks.lpips is not None and reference is not None and is_compared:
        readers = [_reader(pixels, raster, device) for pixels in images.values()]
        distances = networks.lpips.in_tiles(_reader(reference, raster, device), readers, size)
        lpips = dict(zip(images, distances.tolist(), strict=True))
    if networks.extractor is not None:
        for signal, pixels in images.items():
            found = see(networks.extractor, _in_bytes(pixels, raster))
            features |= {} if found is None else {signal: found[0]}
            let_go(pixels)
    return lpips, features


def _reader(pixels: Pixels, raster: Raster, device: str) -> Reader:
    """Return what reads rows and columns of an image as they are seen, (1, 3, y, x) in [0, 1]."""

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


def _in_bytes(pixels: Pixels, raster: Raster) -> Tensor:
    """Return an image as it is seen, uint8 (1, 3, h, w): a view of one that is so already."""
    if raster.alpha is None and pixels.dtype == EIGHT_BITS:
        return as_levels(pixels).movedim(-1, 0)[None]
    seen = scratch_array(pixels.shape, EIGHT_BITS)
    for top in range(0, len(pixels), _ROWS):
        window = slice(top, top + _ROWS), slice(None)
        part = to_bytes(_on_white(pixels, raster, window, "cpu"))
        seen[window] = part[0].movedim(0, -1).numpy()
    return as_levels(seen).movedim(-1, 0)[None]
