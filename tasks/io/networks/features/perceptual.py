"""LPIPS, a perceptual distance by a network: loading it, its name, and its weights' identity."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tasks.io.networks.digests import digest
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.published_weights import PUBLISHED, PublishedFile
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights, load_state

LpipsNet = Literal["alex", "vgg", "squeeze"]
"""Networks that LPIPS is published for, by the names of the package lpips."""

_BACKBONES: dict[LpipsNet, str] = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
"""Keys of ``PUBLISHED`` by the names of the package lpips."""

LPIPS_SHORTEST_SIDE = 32
"""Least height and width in pixels: of smaller images the deepest layers are empty."""

Perceptual = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""LPIPS as a function from references (b, 3, h, w) in [0, 1] to a function from images of the same
shape to distances (b,). The network is run on the references once, however many images follow."""


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

    def activations(images: Tensor) -> list[Tensor]:
        layers = metric.net(metric.scaling_layer(2 * images.to(device) - 1))
        return [lpips.normalize_tensor(layer) for layer in layers]

    @torch.inference_mode()
    def against(references: Tensor) -> Callable[[Tensor], Tensor]:
        theirs = activations(references)

        @torch.inference_mode()
        def distance(images: Tensor) -> Tensor:
            layers = zip(metric.lins, activations(images), theirs, strict=True)
            parts = [lin((ours - other).square()).mean(dim=(2, 3)) for lin, ours, other in layers]
            return torch.cat(parts, dim=1).sum(dim=1).cpu()  # (b, layers) to (b,)

        return distance

    return against


def _fill_backbone(backbone: torch.nn.Module, path: Path) -> None:
    """Fill the network under the metric with weights, without running code that is in the file.

    The package lpips would unpickle the file. It cuts torchvision's ``features`` into slices and
    keeps the layers' numbers, by which the tensors are found.
    """
    tensors = load_state(path)
    layers = {name: tensors[f"features.{name.partition('.')[2]}"] for name in backbone.state_dict()}
    backbone.load_state_dict(layers)
