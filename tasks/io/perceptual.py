"""Perceptual metrics, whose networks bring weights of their own."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.weights import digest

_LPIPS_BACKBONES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}

LpipsNet = Literal["alex", "vgg", "squeeze"]

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""LPIPS of images (b, 3, h, w) in [0, 1] against their references, as (b,)."""


class LpipsWeights(NamedTuple):
    """The backbone of an LPIPS metric on disk, and whether it is the published file."""

    path: Path
    sha256: str
    is_published: bool


def find_lpips(net: LpipsNet) -> LpipsWeights:
    """The backbone weights of LPIPS, where torchvision keeps or fetches them.

    Raises:
        WeightsMissing: they are not on disk and cannot be fetched.
    """
    name = _LPIPS_BACKBONES[net]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                f"https://download.pytorch.org/models/{name}", str(path), progress=False
            )
        except OSError as error:
            raise WeightsMissing(
                f"LPIPS needs {name}, which cannot be fetched; put it at {path} (TORCH_HOME "
                "chooses the folder), or set evaluate.lpips to another network or to none"
            ) from error
    found, published = digest(path), path.stem.rpartition("-")[2]
    return LpipsWeights(path, found, found.startswith(published))


@lru_cache(maxsize=2)
def load_lpips(net: LpipsNet, device: str) -> Perceptual:
    """LPIPS of Zhang et al. 2018, version 0.1; loaded once per process.

    Raises:
        WeightsMissing: the weights of its backbone cannot be had.
    """
    find_lpips(net)
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by names that it deprecates
        metric = lpips.LPIPS(net=net, verbose=False).to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def distance(images: Tensor, references: Tensor) -> Tensor:
        answer: Tensor = metric(images.to(device), references.to(device), normalize=True)
        return answer.flatten().cpu()

    return distance
