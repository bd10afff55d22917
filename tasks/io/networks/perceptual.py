"""Perceptual metrics, whose networks bring weights of their own."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tasks.io.networks.digests import digest
from tasks.io.networks.model_cache import LOADING, kept
from tasks.io.networks.weights import FILES, WeightFile, fetch, find, load_state

LpipsNet = Literal["alex", "vgg", "squeeze"]

_BACKBONES: dict[LpipsNet, str] = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}

LPIPS_SHORTEST_SIDE = 32
"""Below this many pixels the deepest layers of the networks have nothing left to see."""

Perceptual = Callable[[Tensor], Callable[[Tensor], Tensor]]
"""LPIPS against references (b, 3, h, w) in [0, 1]: a function from images of the same shape
to distances (b,). The network sees the references once, however many images follow."""


def lpips_file(net: LpipsNet) -> WeightFile:
    """The weights of the network under the metric."""
    return FILES[_BACKBONES[net]]


def lpips_identity(net: LpipsNet, folder: str | None = None) -> dict[str, str] | None:
    """The network and the digest of its weights, or None where they are not on disk."""
    path = find(lpips_file(net), folder)
    return None if path is None else {"net": net, "sha256": digest(path)}


def lpips_name(net: LpipsNet, folder: str | None = None) -> str:
    """How tables call the metric; weights other than the published ones are named."""
    identity = lpips_identity(net, folder)
    altered = "" if identity is None else lpips_file(net).altered(identity["sha256"])
    return f"LPIPS-{net}{altered}"


def fetch_lpips(net: LpipsNet, folder: str | None = None) -> Path:
    """See that the weights of LPIPS are on disk; return where.

    Raises:
        WeightsMissing: they are not, and cannot be fetched.
    """
    otherwise = "set evaluate.lpips to another network or to null"
    return fetch(lpips_file(net), folder, need="LPIPS", otherwise=otherwise)


def load_lpips(net: LpipsNet, device: str, folder: str | None = None) -> Perceptual:
    """LPIPS of Zhang et al. 2018, version 0.1; loaded once per process and device.

    Raises:
        WeightsMissing: the weights of its backbone cannot be had, or are another network's.
    """
    path = fetch_lpips(net, folder)
    with LOADING:
        return _load_lpips(device, net, path, digest(path))


@kept(2)
def _load_lpips(device: str, net: LpipsNet, path: Path, _digest: str) -> Perceptual:
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
    """Load the published weights without unpickling code, as lpips itself would not.

    lpips cuts torchvision's ``features`` into slices and keeps the layers' numbers.
    """
    weights = load_state(path)
    layers = {name: weights[f"features.{name.partition('.')[2]}"] for name in backbone.state_dict()}
    backbone.load_state_dict(layers)
