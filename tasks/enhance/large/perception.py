"""LPIPS and features of large images as they were written, read from the disk in tiles."""

from collections.abc import Collection, Mapping

import torch

from tasks.enhance.large.subject import LargeImage
from tasks.enhance.perception import Networks
from tasks.io.images import Pixels, Raster
from tasks.io.machine.scratch import let_go
from tasks.io.networks.features.extractors import Seen, see
from tasks.io.networks.features.large_images import in_bytes, reader
from tasks.io.networks.features.perceptual import LPIPS_SHORTEST_SIDE
from tasks.io.workspace import Signal


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
        readers = [reader(pixels, raster, device) for pixels in images.values()]
        distances = networks.lpips.in_tiles(reader(reference, raster, device), readers, size)
        lpips = dict(zip(images, distances.tolist(), strict=True))
    if networks.extractor is not None:
        for signal, pixels in images.items():
            found = see(networks.extractor, in_bytes(pixels, raster))
            features |= {} if found is None else {signal: found[0]}
            let_go(pixels)
    return lpips, features
