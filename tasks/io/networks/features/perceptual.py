"""LPIPS, a perceptual distance by a network: loading it, its name, and its weights' identity."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dot_kernels.local_activations import LocalActivations, Reader
from dot_kernels.local_layers import local_layers
from tasks.io.networks.digests import digest
from tasks.io.networks.features.feature_networks import WHOLE_PIXELS
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.published_weights import PUBLISHED, PublishedFile
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights, load_state

LpipsNet = Literal["alex", "vgg", "squeeze"]
"""Networks that LPIPS is published for, by the names of the package lpips."""

_BACKBONES: dict[LpipsNet, str] = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
"""Keys of ``PUBLISHED`` by the names of the package lpips."""

LPIPS_SHORTEST_SIDE = 32
"""Least height and width in pixels: of smaller images the deepest layers are empty."""


@dataclass(frozen=True, slots=True)
class Perceptual:
    """LPIPS on its device; safe to call from several threads."""

    _metric: Any
    """The module of the package lpips."""
    _local: LocalActivations
    """Its layers, as they are used in tiles."""
    _device: str

    def __call__(self, references: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function from images to their distances (b,) from references.

        The network is run on the references once, however many images follow, unless they are
        large.

        Args:
            references: (b, 3, h, w) in [0, 1], as the images.
        """
        size = (references.shape[2], references.shape[3])
        if size[0] * size[1] > WHOLE_PIXELS:
            return lambda images: torch.cat(
                [
                    self.in_tiles(_reader(reference), [_reader(image)], size)
                    for reference, image in zip(references[:, None], images[:, None], strict=True)
                ]
            )
        theirs = self._activations(references)

        @torch.inference_mode()
        def distances(images: Tensor) -> Tensor:
            layers = zip(self._metric.lins, self._activations(images), theirs, strict=True)
            parts = [lin((ours - other).square()).mean(dim=(2, 3)) for lin, ours, other in layers]
            return torch.cat(parts, dim=1).sum(dim=1).cpu()  # (b, layers) to (b,)

        return distances

    @torch.inference_mode()
    def in_tiles(
        self, reference: Reader, images: Sequence[Reader], size: tuple[int, int]
    ) -> Tensor:
        """Return the distances (n,) of large images from one reference, without holding them.

        LPIPS averages over the places of each layer, so sums over tiles give the same but for
        rounding in float32: here the sums are in float64.

        Args:
            reference: gives rows and columns of the ground truth, (1, 3, y, x) in [0, 1].
            images: give those of each image.
            size: height and width of all.
        """
        sums = torch.zeros(len(images), len(self._local.taps), dtype=torch.float64)
        for tile in self._local.tiles(*size):
            theirs = self._tile(reference, size, tile)
            for index, image in enumerate(images):
                layers = zip(self._metric.lins, self._tile(image, size, tile), theirs, strict=True)
                parts = [
                    lin((ours - o).square()).sum(dtype=torch.float64) for lin, ours, o in layers
                ]
                sums[index] += torch.stack(parts).cpu()
        places = [height * width for height, width in self._local.places(*size)]
        return (sums / torch.tensor(places)).sum(dim=1).float()

    @torch.inference_mode()
    def _activations(self, images: Tensor) -> list[Tensor]:
        """Return what the network's layers give for images, of length 1 at every place."""
        return self._normalised(self._metric.net(self._scaled(images)))

    def _tile(self, read: Reader, size: tuple[int, int], tile: tuple[range, range]) -> list[Tensor]:
        """Return what the network's layers give at the places of a tile."""
        return self._normalised(
            self._local.of_tile(lambda *window: self._scaled(read(*window)), size, tile)
        )

    def _scaled(self, images: Tensor) -> Tensor:
        scaled: Tensor = self._metric.scaling_layer(2 * images.to(self._device) - 1)
        return scaled

    def _normalised(self, layers: Sequence[Tensor]) -> list[Tensor]:
        import lpips

        return [lpips.normalize_tensor(layer) for layer in layers]


def _reader(images: Tensor) -> Reader:
    """Return what reads rows and columns of images that are in memory."""
    return lambda down, across: images[..., down.start : down.stop, across.start : across.stop]


def lpips_file(net: LpipsNet) -> PublishedFile:
    """Return the weights of the network that the metric is computed from."""
    return PUBLISHED[_BACKBONES[net]]


def lpips_identity(net: LpipsNet, weights: Weights = FROM_THIS_MACHINE) -> dict[str, str] | None:
    """Return the network and the digest of its weights, or None where they are not on disk."""
    path = weights.find(lpips_file(net))
    return None if path is None else {"net": net, "sha256": digest(path)}


def lpips_name(net: LpipsNet, weights: Weights = FROM_THIS_MACHINE) -> str:
    """Return the metric's name in tables and reports.

    Weights other than the published ones make it end with the beginning of their digest.
    """
    identity = lpips_identity(net, weights)
    altered = "" if identity is None else lpips_file(net).altered_suffix(identity["sha256"])
    return f"LPIPS-{net}{altered}"


def fetch_lpips(net: LpipsNet, weights: Weights = FROM_THIS_MACHINE) -> Path:
    """Return the path of the network's weights, which are downloaded if they are not on disk.

    Raises:
        WeightsMissing: they are not on disk and cannot be downloaded.
    """
    otherwise = "set evaluate.lpips to another network or to null"
    return weights.fetch(lpips_file(net), need="LPIPS", otherwise=otherwise)


def load_lpips(net: LpipsNet, device: str, weights: Weights = FROM_THIS_MACHINE) -> Perceptual:
    """Return LPIPS of Zhang et al. 2018, version 0.1; it is loaded once per process and device.

    Raises:
        WeightsMissing: the weights of its network cannot be had, or are another network's.
    """
    path = fetch_lpips(net, weights)
    with LOADING:
        return _load_lpips(device, net, path, digest(path))


@cached_per_device(2)
def _load_lpips(device: str, net: LpipsNet, path: Path, _digest: str) -> Perceptual:
    """Build the metric; the weights' digest is an argument so that a changed file is read."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by names that it deprecates
        metric = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _fill_backbone(metric.net, path)
    metric = metric.to(device).eval().requires_grad_(False)
    slices = [list(part.children()) for part in metric.net.children()]
    layers = local_layers([layer for part in slices for layer in part], channels=3)
    assert layers is not None  # noqa: S101 - lpips has three networks, all of known layers
    taps = tuple(accumulate(len(part) for part in slices))
    return Perceptual(metric, LocalActivations(layers, taps), device)


def _fill_backbone(backbone: torch.nn.Module, path: Path) -> None:
    """Fill the network under the metric with weights, without running code that is in the file.

    The package lpips would unpickle the file. It cuts torchvision's ``features`` into slices and
    keeps the layers' numbers, by which the tensors are found.
    """
    tensors = load_state(path)
    layers = {name: tensors[f"features.{name.partition('.')[2]}"] for name in backbone.state_dict()}
    backbone.load_state_dict(layers)
