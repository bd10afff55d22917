"""Perceptual metrics, whose networks bring weights of their own."""

import socket
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.weights import LOADING, digest

_LPIPS_BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}

LpipsNet = Literal["alex", "vgg", "squeeze"]

_PATIENCE_S = 20.0

LPIPS_SHORTEST_SIDE = 32
"""Below this many pixels the deepest layers of the networks have nothing left to see."""

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""LPIPS of images (b, 3, h, w) in [0, 1] against their references, as (b,)."""


def lpips_identity(net: LpipsNet) -> dict[str, str] | None:
    """The network and the digest of its weights, or None where they are not on disk."""
    path = _backbone(net)
    return {"net": net, "sha256": digest(path)} if path.is_file() else None


def lpips_name(net: LpipsNet) -> str:
    """How tables call the metric; weights other than the published ones are named."""
    identity = lpips_identity(net)
    published = _backbone(net).stem.rpartition("-")[2]
    if identity is None or identity["sha256"].startswith(published):
        return f"LPIPS-{net}"
    return f"LPIPS-{net} (altered weights {identity['sha256'][:12]})"


def fetch_lpips(net: LpipsNet) -> None:
    """See that the weights of LPIPS are where torchvision looks for them.

    Raises:
        WeightsMissing: they are not on disk and cannot be fetched.
    """
    path = _backbone(net)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    url = f"https://download.pytorch.org/models/{path.name}"
    published = path.stem.rpartition("-")[2]
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=published, progress=False)
    except (OSError, RuntimeError) as error:
        raise WeightsMissing(
            f"LPIPS needs {path.name}, which cannot be fetched; put it at {path} (TORCH_HOME "
            "chooses the folder), or set evaluate.lpips to another network or to null"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def load_lpips(net: LpipsNet, device: str) -> Perceptual:
    """LPIPS of Zhang et al. 2018, version 0.1; loaded once per process.

    Raises:
        WeightsMissing: the weights of its backbone cannot be had.
    """
    fetch_lpips(net)
    with LOADING:
        return _load_lpips(net, device)


@lru_cache(maxsize=2)
def _load_lpips(net: LpipsNet, device: str) -> Perceptual:
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by names that it deprecates
        metric = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _fill_backbone(metric.net, net)
    metric = metric.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def distance(images: Tensor, references: Tensor) -> Tensor:
        answer: Tensor = metric(images.to(device), references.to(device), normalize=True)
        return answer.flatten().cpu()

    return distance


def _fill_backbone(backbone: torch.nn.Module, net: LpipsNet) -> None:
    """Load the published weights without unpickling code, as lpips itself would not.

    lpips cuts torchvision's ``features`` into slices and keeps the layers' numbers.
    """
    weights = torch.load(_backbone(net), map_location="cpu", weights_only=True)
    layers = {name: weights[f"features.{name.partition('.')[2]}"] for name in backbone.state_dict()}
    backbone.load_state_dict(layers)


def _backbone(net: LpipsNet) -> Path:
    """Where torchvision keeps the weights of the network under the metric."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _LPIPS_BACKBONES[net]
