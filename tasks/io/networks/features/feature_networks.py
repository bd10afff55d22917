"""Feature networks: a file of weights goes in, a function from images to features comes out.

Axes: b images, h and w pixels, d features, c colours or classes.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dot_kernels.local_activations import LocalActivations
from dot_kernels.local_layers import local_layers
from tasks.io.networks.features.dinov2 import VisionTransformer
from tasks.io.networks.weights import load_state


class Extracted(NamedTuple):
    """What a network gives for a batch of images, on the CPU."""

    features: Tensor
    """(b, d) float32."""
    logits: Tensor | None
    """(b, c) float32, for the Inception Score; None for a network without classes."""


@dataclass(frozen=True)
class Extractor:
    """A feature network on its device; safe to call from several threads."""

    dimension: int
    """How many features an image has."""
    classes: int | None
    """How many logits an image has; None for a network without classes."""
    shortest_side: int
    """Pixels that height and width must have at least."""
    run: Callable[[Tensor], Extracted] = field(repr=False)
    """The network itself, for images that were checked."""

    def __call__(self, images: Tensor) -> Extracted:
        """Return the features of images (b, 3, h, w), uint8.

        Raises:
            TypeError: the images have another dtype.
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


WHOLE_PIXELS = 1 << 20
"""Pixels up to which an image that keeps its size goes through a network in one piece; larger ones
go in tiles."""

_IMAGENET = ((255 * 0.485, 255 * 0.456, 255 * 0.406), (255 * 0.229, 255 * 0.224, 255 * 0.225))
"""Mean and standard deviation of ImageNet's colours, for images in [0, 255]."""


def _inception(_: str, path: Path, device: str) -> Extractor:
    """Return the Inception of FID (Szegedy et al. 2016, Heusel et al. 2017), by torch-fidelity.

    torch-fidelity would unpickle whatever is in the file, so it is given a copy in memory of the
    tensors that were in it. Images are brought to 299 × 299 pixels.
    """
    from torch_fidelity import FeatureExtractorInceptionV3

    tensors = io.BytesIO()
    torch.save(load_state(path), tensors)
    tensors.seek(0)
    module = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=tensors
    ).to(device)
    classes, dimension = module.fc.weight.shape
    return Extractor(dimension, classes, 1, _on(device, module))


def _clip(network: str, path: Path, device: str) -> Extractor:
    """Return the image tower of CLIP (Radford et al. 2021), by torch-fidelity.

    The file is a TorchScript archive, which can hold code; its digest has been checked.
    """
    from torch_fidelity import FeatureExtractorCLIP

    module = FeatureExtractorCLIP(network, ["clip"], feature_extractor_weights_path=str(path)).to(
        device
    )
    return Extractor(module.model.visual.output_dim, None, 1, _on(device, module))


def _dinov2(_: str, path: Path, device: str) -> Extractor:
    """Return DINOv2 (Oquab et al. 2023); images are resized as torch-fidelity does.

    torch-fidelity itself would have torch.hub fetch and run the newest code of a repository. The
    network is short enough to have it in ``dinov2.py``.
    """
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x,
    )

    tensors = load_state(path)
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
    """Return the mean over positions of SqueezeNet 1.1 (Iandola et al. 2016) after five layers.

    It is small and early on purpose. The covariance of its 128 features can be estimated from a
    few hundred images; Inception's 2048 need ten thousand. Restoration changes texture, to which
    early layers respond. Images keep their size, so that no detail is lost by resizing.
    """
    from torchvision.models import squeezenet1_1

    with torch.device("meta"):
        module = squeezenet1_1(weights=None).features[:5]
    tensors = load_state(path)
    layers = {name: tensors[f"features.{name}"] for name in module.state_dict()}
    module.load_state_dict(layers, assign=True)
    module = module.float().to(device).eval().requires_grad_(False)

    known = local_layers(module, channels=3)
    assert known is not None  # noqa: S101 - they are convolutions and largest values
    local = LocalActivations(known, (len(known),))

    def forward(images: Tensor) -> tuple[Tensor]:
        if images.shape[2] * images.shape[3] <= WHOLE_PIXELS:
            return (module(_normalised(images.to(device).float())).mean(dim=(2, 3)),)
        return (torch.stack([_mean_over_tiles(local, image, device) for image in images]),)

    return Extractor(128, None, 5, _on(None, forward))


def _mean_over_tiles(local: LocalActivations, image: Tensor, device: str) -> Tensor:
    """Return the mean over positions (d,) of a large image's features, summed in float64.

    Args:
        local: the network.
        image: uint8 (3, h, w).
        device: that the network is on; the image may be elsewhere.
    """

    def read(down: range, across: range) -> Tensor:
        part = image[None, :, down.start : down.stop, across.start : across.stop]
        return _normalised(part.to(device).float())

    size = (image.shape[1], image.shape[2])
    parts = (local.of_tile(read, size, tile)[0] for tile in local.tiles(*size))
    total = sum(part.sum(dim=(0, 2, 3), dtype=torch.float64).cpu() for part in parts)
    ((height, width),) = local.places(*size)
    return torch.as_tensor(total / (height * width))


def _on(
    device: str | None, forward: Callable[[Tensor], tuple[Tensor, ...]]
) -> Callable[[Tensor], Extracted]:
    """Return a forward pass that takes images from anywhere and gives its outputs to the CPU.

    Args:
        device: of the network; None if the pass itself brings images to it, in parts.
        forward: the pass.
    """

    @torch.inference_mode()
    def run(images: Tensor) -> Extracted:
        placed = images if device is None else images.to(device)
        features, *logits = (each.float().cpu() for each in forward(placed))
        return Extracted(features, logits[0] if logits else None)

    return run


def _normalised(images: Tensor) -> Tensor:
    """Return images in [0, 255] with the mean and deviation that ImageNet's networks expect."""
    mean, deviation = (images.new_tensor(each)[:, None, None] for each in _IMAGENET)
    return (images - mean) / deviation


BUILDERS = {"inception": _inception, "clip": _clip, "dinov2": _dinov2, "squeezenet": _squeezenet}
"""Functions that build a network from its name, the path of its weights and a device. Keys are the
first parts of the networks' names."""
