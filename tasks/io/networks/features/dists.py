"""DISTS as a judge of images: structure and texture in VGG's activations, by the package piq.

Axes: b images, h and w height and width of an image, y and x of a part of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.io.errors import WeightsMissing
from tasks.io.networks.weights import load_state

DISTS_SHORTEST_SIDE = 32
"""Least height and width in pixels: of smaller images the deepest layers see hardly anything."""

_SIDE = 256
"""The shorter side that larger images are brought to, in pixels."""

_CHANNELS = [3, 64, 128, 256, 512, 512]
"""Of the image itself and of the five layers that are compared."""

_LAYERS = ("3", "8", "15", "22", "29")
"""These layers, by their numbers in torchvision's VGG."""

_AT_ONCE = 1 << 22
"""Pixels of a large image that are read at once, and most that one may have when it is shrunk."""


@dataclass(frozen=True, slots=True)
class StructureAndTexture:
    """DISTS of Ding et al. 2020 on its device; not of images below 32 pixels a side."""

    metric: Any
    """The module of the package piq."""
    device: str
    column: str = "dists"

    @torch.inference_mode()
    def __call__(
        self, images: Tensor, references: Tensor | None, opacity: Tensor | None
    ) -> list[float | None]:
        """Return DISTS of each image (b, 3, h, w) in [0, 1]; None for those that are too small.

        Args:
            images: as readers see them.
            references: ground truth of the same shape; without any no image has DISTS.
            opacity: not looked at.
        """
        if references is None or min(images.shape[2:]) < DISTS_SHORTEST_SIDE:
            return [None] * len(images)
        found: list[float | None] = self.metric(
            images.to(self.device), references.to(self.device)
        ).tolist()
        return found

    @torch.inference_mode()
    def in_tiles(
        self, image: Reader, reference: Reader | None, size: tuple[int, int], opacity: Tensor | None
    ) -> float | None:
        """Return DISTS of a large image, which is shrunk as it is read.

        It is None for an image that is more than 4 megapixels when it is shrunk, a strip that is
        64 times longer than it is wide.

        Args:
            image: gives rows and columns of it, (1, 3, y, x) in [0, 1].
            reference: gives those of the ground truth; without it there is no DISTS.
            size: height and width of both.
            opacity: not looked at.
        """
        shrunk = [math.floor(side * _scale(size)) for side in size]
        if reference is None or math.prod(shrunk) > _AT_ONCE or min(size) < DISTS_SHORTEST_SIDE:
            return None
        return self(_shrunk(image, size), _shrunk(reference, size), None)[0]


def _scale(size: tuple[int, int]) -> float:
    """Return by which factor piq makes an image smaller, at most 1."""
    return min(1.0, _SIDE / min(size))


def _shrunk(read: Reader, size: tuple[int, int]) -> Tensor:
    """Return a large image as piq shrinks it, bilinearly from the four pixels around each place.

    Args:
        read: gives rows and columns of the image.
        size: its height and width.
    """
    scale = _scale(size)
    above, below, down = _around(size[0], scale)
    left, right, across = _around(size[1], scale)
    count = max(1, int(_AT_ONCE * scale / size[1]))
    parts = []
    for rows in torch.split(torch.arange(len(above)), count):
        first, last = int(above[rows[0]]), int(below[rows[-1]])
        band = read(range(first, last + 1), range(size[1]))
        share = down[rows, None].to(band)
        lines = band[:, :, above[rows] - first].lerp(band[:, :, below[rows] - first], share)
        parts.append(lines[..., left].lerp(lines[..., right], across.to(band)))
    return torch.cat(parts, dim=2)


def _around(length: int, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each place on a side of a shrunk image the pixels before and after it.

    The third value is how far it is from the first of these to the second, in [0, 1).
    """
    places = torch.arange(math.floor(length * scale), dtype=torch.float64)
    places = ((places + 0.5) / scale - 0.5).clamp(min=0)
    before = places.floor().long()
    return before, (before + 1).clamp(max=length - 1), places - before


def load_dists(paths: Sequence[Path], device: str) -> StructureAndTexture:
    """Return DISTS from its authors' file of weights and from that of torchvision's VGG16.

    Raises:
        WeightsMissing: a file holds something else.
    """
    from piq import DISTS
    from piq.perceptual import ContentLoss
    from torchvision.models import vgg16

    own, network = (load_state(path) for path in paths)
    with torch.device("meta"):
        layers = vgg16(weights=None).features
    try:
        found = {name: network[f"features.{name}"] for name in layers.state_dict()}
        layers.load_state_dict(found, assign=True)
        weights = [
            part for name in ("alpha", "beta") for part in torch.split(own[name], _CHANNELS, dim=1)
        ]
    except (KeyError, RuntimeError) as error:
        files = " and ".join(str(path) for path in paths)
        raise WeightsMissing(f"{files} must hold the weights of DISTS and VGG16: {error}") from None
    metric = DISTS.__new__(DISTS)  # its own constructor would fetch weights
    ContentLoss.__init__(
        metric,
        layers.float().to(device),
        layers=_LAYERS,
        weights=[weight.to(device) for weight in weights],
        replace_pooling=True,
        reduction="none",
        allow_layers_weights_mismatch=True,
    )
    return StructureAndTexture(metric.eval(), device)
