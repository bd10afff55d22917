"""LPIPS, judges and features of large images as they were written, read from the disk in tiles."""

from collections.abc import Collection, Mapping

import torch

from dot_kernels.local_activations import Reader
from tasks.enhance.large.subject import LargeImage
from tasks.enhance.pairs import Marks
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels, Raster
from tasks.io.images.pixels import as_levels
from tasks.io.machine.scratch import let_go
from tasks.io.networks.features.extractors import SeenBy, see
from tasks.io.networks.features.large_images import in_bytes, reader
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE
from tasks.io.workspace import Signal


def perceive_large(networks: Networks, image: LargeImage, wanted: Collection[Signal]) -> None:
    """Add what networks say of the images of wanted signals, and features, to a large picture."""
    shown = {signal: image.pixels[signal] for signal in image.pixels if signal in wanted}
    found = seen_in_tiles(networks, shown, image.reference, image.pair.raster, image.device)
    image.marks, image.features = found


@torch.inference_mode()
def seen_in_tiles(
    networks: Networks,
    images: Mapping[Signal, Pixels],
    reference: Pixels | None,
    raster: Raster,
    device: str,
) -> tuple[dict[Signal, Marks], dict[Signal, SeenBy]]:
    """Return what networks say of one large picture's images, and their features, by signal.

    Args:
        networks: of the metrics.
        images: of each signal, as they are written.
        reference: ground truth; None without any.
        raster: the picture, whose alpha the images have.
        device: that the networks are on.
    """
    features: dict[Signal, SeenBy] = {signal: {} for signal in images}
    readers = {signal: reader(pixels, raster, device) for signal, pixels in images.items()}
    truth = None if reference is None else reader(reference, raster, device)
    marks = _marks(networks, readers, truth, raster)
    for signal, pixels in images.items() if networks.extractors else ():
        levels = in_bytes(pixels, raster)
        for name, extractor in networks.extractors.items():
            found = see(extractor, levels)
            features[signal] |= {} if found is None else {name: found[0]}
        let_go(pixels)
    return marks, features


def _marks(
    networks: Networks, images: Mapping[Signal, Reader], truth: Reader | None, raster: Raster
) -> dict[Signal, Marks]:
    """Return LPIPS and what judges say of one large picture's images, by signal."""
    size = raster.height, raster.width
    marks: dict[Signal, Marks] = {signal: {} for signal in images}
    is_compared = min(size) >= LPIPS_SHORTEST_SIDE and len(images) > 0
    if networks.lpips is not None and truth is not None and is_compared:
        distances = networks.lpips.in_tiles(truth, list(images.values()), size)
        for own, distance in zip(marks.values(), distances.tolist(), strict=True):
            own["lpips"] = distance
    opacity = None if raster.alpha is None else as_levels(raster.alpha)
    for judge in networks.judges:
        for signal, read in images.items():
            marks[signal][judge.column] = judge.in_tiles(read, truth, size, opacity)
    return marks
