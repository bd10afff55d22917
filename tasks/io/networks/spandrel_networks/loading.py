"""Loading what spandrel recognises: a file of weights goes in, a restorer on its device comes out.

Each network is tried out on a small image when it is loaded, before any image of a corpus is
touched.
"""

import dataclasses
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.networks.codecs import Precision
from tasks.io.networks.model_cache import cached_per_device
from tasks.io.networks.spandrel_networks.restorer import SpandrelRestorer, allowed_sizes

_PROBE = 48
"""Side of the image that a network is tried out on, or the least that it takes."""

_LIKENESS = 0.3
"""Correlation with the image it was given that what a network makes of it must have, at least."""

_ALIKE = 0.01
"""How much an image that is restored beside another may differ from itself alone, at most."""

_FAULTS = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network may raise for an image that it cannot restore."""


def load_checkpoint(
    device: str, checkpoint: str, digest: str, precision: Precision, tile: int
) -> SpandrelRestorer:
    """Return the restorer of a file; its network is loaded once per process and device.

    Args:
        device: cpu, cuda or cuda:1, not auto.
        checkpoint: path of the file.
        digest: of the file, so that one that has changed is read again.
        precision: of the network's numbers; one that spandrel does not know to compute in
            bfloat16 computes in float32.
        tile: see ``SpandrelRestorer``.

    Raises:
        WeightsMissing: spandrel does not recognise the file, or it is of no network from one
            image to another, or the network fails on a small image.
    """
    return dataclasses.replace(_loaded(device, checkpoint, digest, precision), tile=tile)


@cached_per_device(2)
def _loaded(device: str, checkpoint: str, _digest: str, precision: Precision) -> SpandrelRestorer:
    from spandrel import ModelLoader

    _register_more()
    try:
        descriptor = ModelLoader(device=device).load_from_file(checkpoint)
    except Exception as error:
        raise WeightsMissing(
            f"{checkpoint} must be a checkpoint that spandrel recognises: {error}"
        ) from error
    _require_images(descriptor, checkpoint)
    descriptor.eval().model.requires_grad_(False)
    if precision != "bfloat16" or descriptor.supports_bfloat16:
        descriptor.to(dtype=getattr(torch, precision))
    return _tried_out(SpandrelRestorer(device, checkpoint, descriptor))


def _register_more() -> None:
    """Have spandrel know the architectures of ``spandrel_extra_arches``, where it is installed."""
    with suppress(ImportError):
        import spandrel_extra_arches

        spandrel_extra_arches.install(ignore_duplicates=True)


def _require_images(descriptor: Any, checkpoint: str) -> None:
    """Check that a network makes of one image another, in RGB or in grey.

    spandrel goes by the names of tensors, so it takes some networks for others: FFDNet for a
    DnCNN of 12 channels, say.

    Raises:
        WeightsMissing: it does not.
    """
    from spandrel import ImageModelDescriptor

    rule = f"{checkpoint} must hold a network from one RGB image to another, or from grey to grey"
    found = f"got what spandrel takes for {descriptor.architecture.name}"
    if not isinstance(descriptor, ImageModelDescriptor):
        raise WeightsMissing(f"{rule}, {found}, which asks for a mask beside the image")
    channels = descriptor.input_channels, descriptor.output_channels
    if channels not in ((3, 3), (1, 1)):
        raise WeightsMissing(
            f"{rule}, {found}, with {channels[0]} channels in and {channels[1]} out; where it is "
            "another architecture, spandrel does not know it: use a checkpoint of one that it does"
        )


def _tried_out(restorer: SpandrelRestorer) -> SpandrelRestorer:
    """Return a restorer that restores small images of smooth waves, in the first way that works.

    Networks are asked to take two images with channels last, two with channels first, or one.

    Raises:
        WeightsMissing: the network fails, or makes another size than spandrel says, numbers that
            are not finite, or something else than an image like the one it was given.
    """
    descriptor = restorer.descriptor
    side = max(allowed_sizes(descriptor).around(_PROBE, _PROBE))
    image = _waves(side)
    for memory_format in (torch.channels_last, torch.contiguous_format):
        way = dataclasses.replace(restorer, memory_format=memory_format)
        with suppress(*_FAULTS):
            made, one = _made(way, torch.cat([image, image / 2]))[:1], _made(way, image)
            if torch.allclose(made, one, rtol=0, atol=_ALIKE, equal_nan=True):
                _require_likeness(way, image, one)
                return way
    way = dataclasses.replace(restorer, memory_format=torch.contiguous_format, takes_several=False)
    try:
        one = _made(way, image)
    except _FAULTS as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsMissing(
            f"{restorer.checkpoint} must hold a network that restores an image of {side}×{side} "
            f"pixels, got {_found(restorer)}, which fails: {why}"
        ) from error
    _require_likeness(way, image, one)
    return way


def _made(restorer: SpandrelRestorer, images: Tensor) -> Tensor:
    return restorer.restore(images, (), [""] * len(images), lambda _: None).cpu()


def _found(restorer: SpandrelRestorer) -> str:
    return f"what spandrel takes for {restorer.descriptor.architecture.name}"


def _require_likeness(restorer: SpandrelRestorer, image: Tensor, made: Tensor) -> None:
    """Check that what a network makes of an image is finite, and like it but where it draws faces.

    Raises:
        WeightsMissing: it does not.
    """
    descriptor, rule = restorer.descriptor, f"{restorer.checkpoint} must hold a network"
    if not bool(made.isfinite().all()):
        raise WeightsMissing(
            f"{rule} whose output is finite, got {_found(restorer)}, whose output is not"
        )
    likeness = _correlation(made, image.repeat_interleave(descriptor.scale, 2), descriptor.scale)
    if descriptor.purpose != "FaceSR" and not likeness >= _LIKENESS:
        raise WeightsMissing(
            f"{rule} that restores images of values in [0, 1], got {_found(restorer)}, whose "
            "output for smooth waves is nothing like them: use a checkpoint of an architecture "
            "that spandrel knows, with its own weights"
        )


def _waves(side: int) -> Tensor:
    """Return an image (1, 3, side, side) of smooth waves around mid-grey."""
    rows, columns = torch.meshgrid(*(torch.arange(float(side)),) * 2, indexing="ij")
    planes = [(rows / a).sin() * (columns / b).cos() for a, b in ((5, 9), (7, 6), (9, 7))]
    return (0.5 + 0.25 * torch.stack(planes))[None]


def _correlation(made: Tensor, tall: Tensor, scale: int) -> float:
    """Return the correlation of an image with another; NaN, which is no likeness, if it is flat."""
    both = torch.stack([made.flatten(), tall.repeat_interleave(scale, 3).flatten()]).double()
    return float(torch.corrcoef(both)[0, 1])
