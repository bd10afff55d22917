"""LPIPS and features of large images as they were written, read from the disk in tiles."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels
from tasks.io.images.pixels import as_levels, to_bytes, to_tensor
from tasks.io.images.raster import EIGHT_BITS
from tasks.io.machine.scratch import let_go
from tasks.io.networks.features.extractors import Seen, see
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE
from tasks.io.workspace import Signal


@torch.inference_mode()
def perceive_large(
    networks: Networks, images: Mapping[Signal, Pixels], reference: Pixels | None, device: str
) -> tuple[dict[Signal, float], dict[Signal, Seen]]:
    """Return LPIPS and features of one large image, by signal.

    Args:
        networks: of the metrics.
        images: of each signal, as they are written.
        reference: ground truth; None without any.
        device: that the networks are on.
    """
    lpips, features = dict[Signal, float](), dict[Signal, Seen]()
    if networks.lpips is not None and reference is not None and images:
        height, width, _ = reference.shape
        if min(height, width) >= LPIPS_SHORTEST_SIDE:
            readers = [_reader(pixels, device) for pixels in images.values()]
            truth = _reader(reference, device)
            distances = networks.lpips.in_tiles(truth, readers, (height, width))
            lpips = dict(zip(images, distances.tolist(), strict=True))
    if networks.extractor is not None:
        for signal, pixels in images.items():
            found = see(networks.extractor, _bytes(pixels))
            features |= {} if found is None else {signal: found[0]}
    return lpips, features


def _reader(pixels: Pixels, device: str) -> Reader:
    """Return what reads rows and columns of an image, (1, 3, y, x) in [0, 1]."""
    return partial(_read, pixels, device)


def _read(pixels: Pixels, device: str, down: range, across: range) -> Tensor:
    part = pixels[down.start : down.stop, across.start : across.stop]
    tile = to_tensor([part], device)
    let_go(pixels)
    return tile


def _bytes(pixels: Pixels) -> Tensor:
    """Return an image (1, 3, h, w) in 8 bits: a view of one that has them."""
    if pixels.dtype == EIGHT_BITS:
        return as_levels(pixels).movedim(-1, 0)[None]
    return to_bytes(to_tensor([pixels]))
