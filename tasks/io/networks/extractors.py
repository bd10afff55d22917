"""Feature networks, whose outputs Fréchet distance and its kin compare.

Axes: b images, h and w pixels, d features, t tokens.
"""

import io
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.networks.dinov2 import VisionTransformer
from tasks.io.networks.model_cache import LOADING, kept
from tasks.io.networks.weights import FILES, fetch, find, load_tensors

Network = Literal[
    "inception-v3-compat",
    "clip-rn50",
    "clip-rn101",
    "clip-rn50x4",
    "clip-rn50x16",
    "clip-rn50x64",
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-l-14",
    "clip-vit-l-14-336px",
    "dinov2-vit-s-14",
    "dinov2-vit-b-14",
    "dinov2-vit-l-14",
    "dinov2-vit-g-14",
    "squeezenet",
]
"""By the names of torch-fidelity 0.4, except for squeezenet, which is ours."""

_IMAGENET = ((255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225))
"""Mean and deviation of the channels of images in [0, 255]."""


class Extracted(NamedTuple):
    """What a network says of a batch, on the CPU."""

    features: Tensor
    """(b, d) float32."""
    logits: Tensor | None
    """(b, classes) float32, for the Inception Score; None where it is not defined."""


class Names(NamedTuple):
    """How tables call the two distances."""

    frechet: str
    kernel: str


@dataclass(frozen=True)
class Extractor:
    """A feature network on its device; safe to call from several threads."""

    dimension: int
    """Features of one image."""
    classes: int | None
    """Classes of the logits, or None where there are none."""
    shortest_side: int
    """Images with a shorter side have no features."""
    run: Callable[[Tensor], Extracted] = field(repr=False)

    def __call__(self, images: Tensor) -> Extracted:
        """Features of images (b, 3, h, w), uint8.

        Raises:
            TypeError: they are of another kind.
            ValueError: they have another shape, or a side that is too short.
        """
        if images.dtype != torch.uint8:
            raise TypeError(f"images must be uint8, got {images.dtype}")
        shape = tuple(images.shape)
        if images.ndim != 4 or shape[1] != 3 or min(shape[2:]) < self.shortest_side:
            raise ValueError(
                f"images must be (b, 3, h, w) with sides of {self.shortest_side} pixels or more, "
                f"got {shape}"
            )
        return self.run(images)


def extractor_identity(network: Network, folder: str | None = None) -> dict[str, str] | None:
    """The network and the digest of its weights, or None where they are not on disk."""
    path = find(FILES[network], folder)
    return None if path is None else {"network": network, "sha256": digest(path)}


def extractor_names(network: Network, folder: str | None = None) -> Names:
    """How tables call the Fréchet and the kernel distance.

    FID and KID are those of Inception's published weights and of no others; weights other
    than the published ones are named.
    """
    identity = extractor_identity(network, folder)
    altered = "" if identity is None else FILES[network].altered(identity["sha256"])
    if network != "inception-v3-compat":
        return Names(f"FD-{network}{altered}", f"KD-{network}{altered}")
    if altered:
        return Names(f"FD-inception{altered}", f"KD-inception{altered}")
    return Names("FID", "KID")


def feature_folder(identity: Mapping[str, str]) -> str:
    """A network and its weights as the name of a folder."""
    return f"{identity['network']}-{identity['sha256'][:12]}"


def fetch_extractor(network: Network, folder: str | None = None) -> Path:
    """See that the weights of the network are on disk; return where.

    Raises:
        WeightsMissing: they are not, and cannot be fetched.
    """
    smaller = "" if network == "squeezenet" else "to squeezenet (small, not FID) or "
    return fetch(
        FILES[network],
        folder,
        need=f"the feature network {network}",
        otherwise=f"set evaluate.features {smaller}to null",
    )


def load_extractor(network: Network, device: str, folder: str | None = None) -> Extractor:
    """The network in float32, without TF32; loaded once per process and device.

    Raises:
        WeightsMissing: its weights cannot be had, or are not those of this network.
    """
    path = fetch_extractor(network, folder)
    with LOADING:
        return _load_extractor(device, network, path, digest(path))


@kept(2)
def _load_extractor(device: str, network: Network, path: Path, _digest: str) -> Extractor:
    build = {"inception": _inception, "clip": _clip, "dinov2": _dinov2, "squeezenet": _squeezenet}
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # torch-fidelity's use of TorchScript, as it is loaded
            extractor = build[network.partition("-")[0]](network, path, device)
    except (RuntimeError, KeyError, ValueError, IndexError) as error:
        said = shorten(str(error), 300)  # a line for every tensor, where they are another network's
        raise WeightsMissing(f"{path} must hold the weights of {network}: {said}") from error
    return extractor


def _inception(_: str, path: Path, device: str) -> Extractor:
    """Inception as FID knows it (Szegedy et al. 2016, Heusel et al. 2017), by torch-fidelity.

    torch-fidelity would unpickle whatever is in the file, so it is handed a copy in memory
    of the tensors that were in it. Images are brought to 299 × 299 pixels.
    """
    from torch_fidelity import FeatureExtractorInceptionV3

    tensors = io.BytesIO()
    torch.save(load_tensors(path), tensors)
    tensors.seek(0)
    module = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
    ).to(device)
    classes, dimension = module.fc.weight.shape
    return Extractor(dimension, classes, 1, _on(device, module))


def _clip(network: str, path: Path, device: str) -> Extractor:
    """The image tower of CLIP (Radford et al. 2021), by torch-fidelity.

    The file is a TorchScript archive, which can hold code; its digest has been checked.
    """
    from torch_fidelity import FeatureExtractorCLIP

    module = FeatureExtractorCLIP(network, ["clip"], feature_extractor_weights_path=str(path)).to(
        device
    )
    return Extractor(module.model.visual.output_dim, None, 1, _on(device, module))


def _dinov2(_: str, path: Path, device: str) -> Extractor:
    """DINOv2 (Oquab et al. 2023), with torch-fidelity's treatment of the images.

    torch-fidelity would have torch.hub fetch and run a repository's code, whichever it holds
    on that day; the network is short enough to have it here.
    """
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    tensors = load_tensors(path)
    with torch.device("meta"):
        network = VisionTransformer(tensors)
    network.load_state_dict(tensors, assign=True)
    module = network.float().to(device).eval().requires_grad_(False)

    def forward(images: Tensor) -> tuple[Tensor]:
        resized = interpolate_bilinear_2d_like_tensorflow1x(
            images.float(), size=(224, 224), align_corners=False
        )
        return (module(_normalised(resized)),)

    return Extractor(network.norm.weight.numel(), None, 1, _on(device, forward))


def _squeezenet(_: str, path: Path, device: str) -> Extractor:
    """The mean over positions of SqueezeNet 1.1 (Iandola et al. 2016) after five layers.

    Small and early on purpose: the covariance of 128 features can be estimated from a few
    hundred images, where Inception's 2048 want ten thousand; and texture, which restoration
    changes, is what early layers see. Images keep their size, so detail is not resized away.
    """
    from torchvision.models import squeezenet1_1

    with torch.device("meta"):
        module = squeezenet1_1(weights=None).features[:5]
    tensors = load_tensors(path)
    layers = {name: tensors[f"features.{name}"] for name in module.state_dict()}
    module.load_state_dict(layers, assign=True)
    module = module.float().to(device).eval().requires_grad_(False)

    def forward(images: Tensor) -> tuple[Tensor]:
        return (module(_normalised(images.float())).mean(dim=(2, 3)),)

    return Extractor(128, None, 5, _on(device, forward))


def _on(
    device: str, forward: Callable[[Tensor], tuple[Tensor, ...]]
) -> Callable[[Tensor], Extracted]:
    """The forward pass on a device, from the CPU and back."""

    @torch.inference_mode()
    def run(images: Tensor) -> Extracted:
        features, *logits = (each.float().cpu() for each in forward(images.to(device)))
        return Extracted(features, logits[0] if logits else None)

    return run


def _normalised(images: Tensor) -> Tensor:
    """Images in [0, 255] as networks trained on ImageNet want them."""
    mean, deviation = (images.new_tensor(each)[:, None, None] for each in _IMAGENET)
    return (images - mean) / deviation
