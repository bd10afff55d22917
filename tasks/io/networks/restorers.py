"""Restorers: a section of the configuration goes in, the restorer on its device comes out.

Also where a restorer's checkpoint lies, and what identifies it in fingerprints.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from dot_kernels.degradations import Degradation, GaussianBlur, Noise, total_downscaling
from dot_kernels.restorers import Restorer, bicubic, smooth
from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.machine.devices import pick_device
from tasks.io.networks.ddrm import Ddrm, DdrmRestorer, identity_of_ddrm, load_ddrm, locate_model
from tasks.io.networks.digests import digest, require_digest, require_file
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.section import Section, Sha256


class Bicubic(Section):
    """Bicubic interpolation back to the clean image's size."""

    kind: Literal["bicubic"]


class GaussianSmoother(Section):
    """Gaussian blur of the degraded image, then bicubic interpolation to the clean one's size."""

    kind: Literal["gaussian-blur"]
    size: int
    """Weights of the Gaussian along an axis: odd, at most 255. Their sum is 1, and borders are
    reflected."""
    sigma: float
    """Standard deviation of the Gaussian in pixels of the degraded image, above 0."""

    @model_validator(mode="after")
    def _the_blur_is_one(self) -> "GaussianSmoother":
        GaussianBlur(size=self.size, sigma=self.sigma)  # has the rules
        return self


class NonLocalMeans(Section):
    """Non-local means (scikit-image, fast mode); noise level from ``degrade``."""

    kind: Literal["non-local-means"]
    strength: Annotated[float, Field(gt=0)] = 0.8
    """Cut-off distance in units of the noise's sigma."""
    patch_size: Annotated[int, Field(ge=3)] = 5
    """Height and width of the patches that are compared, in pixels."""
    patch_distance: Annotated[int, Field(ge=1)] = 6
    """How far away patches to compare with are looked for, in pixels."""


class SpandrelCheckpoint(Section):
    """Any restoration network that spandrel recognises from its checkpoint."""

    kind: Literal["spandrel"]
    checkpoint: str
    """Path of the file; a relative one counts from the folder of the configuration file."""
    sha256: Sha256 | None = None
    """Digest that the file must have; not checked when left out."""


RestorerSpec = Annotated[
    Bicubic | GaussianSmoother | NonLocalMeans | SpandrelCheckpoint | Ddrm,
    Field(discriminator="kind"),
]
"""The section ``restore`` of a configuration."""

WithWeights = SpandrelCheckpoint | Ddrm
"""Those of them that have weights."""

LoadedRestorer = Restorer | DdrmRestorer
"""A function of degraded images, or something that draws, for which it takes their keys."""


_LEVEL_TOLD = 15 / 255
"""The noise level that spandrel tells every network that asks for one."""


def restorer_identity(spec: RestorerSpec, weights: Weights = FROM_THIS_MACHINE) -> dict[str, Any]:
    """Return what makes two restorers the same, for fingerprints.

    It is the digest of the checkpoint, its options where there are some, or both.

    Args:
        spec: what the configuration says.
        weights: where the checkpoint is looked for, if it is not where the section says.

    Raises:
        WeightsMissing: the checkpoint is not there, or not the one that was named.
    """
    if isinstance(spec, Ddrm):
        return identity_of_ddrm(spec, weights)
    if not isinstance(spec, SpandrelCheckpoint):
        return spec.model_dump()
    return {"kind": spec.kind, "sha256": digest(locate_checkpoint(spec, weights))}


def pulled_checkpoint(spec: SpandrelCheckpoint) -> str:
    """Return where a pulled folder keeps the checkpoint."""
    return f"restorers/{Path(spec.checkpoint).name}"


def locate_checkpoint(spec: WithWeights, weights: Weights = FROM_THIS_MACHINE) -> Path:
    """Return the path of the weights: where the section says, or else in the pulled folder.

    Raises:
        WeightsMissing: it is in neither, or not the one that was named.
    """
    if isinstance(spec, Ddrm):
        return locate_model(spec, weights)[-1]
    path = Path(spec.checkpoint)
    if weights.pulled is not None and not path.is_file():
        path = weights.pulled.take(pulled_checkpoint(spec))
    require_file(path, "restore.checkpoint names the file")
    require_digest(path, spec.sha256, "restore.sha256")
    return path


def load_restorer(
    spec: RestorerSpec, device: str, weights: Weights = FROM_THIS_MACHINE
) -> LoadedRestorer:
    """Return the restorer; a network is on its device, loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        weights: where the checkpoint is looked for, if it is not where the section says.

    Raises:
        WeightsMissing: the checkpoint is not there, not understood, or not of a network from
            one image to another.
        ConfigurationError: an option does not fit the network.
    """
    match spec:
        case Bicubic():
            return bicubic
        case GaussianSmoother(size=size, sigma=sigma):
            return partial(smooth, size=size, sigma=sigma)
        case NonLocalMeans():
            return _non_local_means(spec)
        case SpandrelCheckpoint():
            with LOADING:
                checkpoint = locate_checkpoint(spec, weights)
                return _load_checkpoint(pick_device(device), str(checkpoint), digest(checkpoint))
        case Ddrm():
            return load_ddrm(spec, device, weights)


def _non_local_means(spec: NonLocalMeans) -> Restorer:
    """Return the method of Buades et al. 2005 by scikit-image, then bicubic upscaling if needed."""
    from skimage.restoration import denoise_nl_means

    def restore(degraded: Tensor, degradations: Sequence[Degradation]) -> Tensor:
        sigma = _noise_level(degradations)
        image: Any = denoise_nl_means(
            degraded.movedim(0, -1).numpy(),
            patch_size=spec.patch_size,
            patch_distance=spec.patch_distance,
            h=spec.strength * sigma,
            sigma=sigma,
            fast_mode=True,
            channel_axis=-1,
        )
        denoised = torch.from_numpy(image).float().movedim(-1, 0)
        return bicubic(denoised, degradations)

    return restore


@cached_per_device(2)
def _load_checkpoint(device: str, checkpoint: str, _digest: str) -> Restorer:
    """Load a network by spandrel; its digest is an argument so that a changed file is read."""
    from spandrel import ModelLoader

    try:
        model = ModelLoader(device=device).load_from_file(checkpoint)
    except Exception as error:
        raise WeightsMissing(
            f"{checkpoint} must be a checkpoint that spandrel recognises: {error}"
        ) from error
    _require_images(model, checkpoint)

    @torch.inference_mode()
    def restore(degraded: Tensor, degradations: Sequence[Degradation]) -> Tensor:
        _require_fitting(model, degradations)
        images = torch.split(degraded.to(device), model.input_channels)  # RGB, or plane by plane
        restored = torch.cat([model(image[None])[0] for image in images])
        size = tuple(side * model.scale for side in degraded.shape[1:])
        if tuple(restored.shape) != (3, *size):
            raise ConfigurationError(
                f"restore.checkpoint must hold a network that makes {size[0]}×{size[1]} pixels of "
                f"{degraded.shape[1]}×{degraded.shape[2]}, got an output of shape "
                f"{tuple(restored.shape)} from what spandrel takes for {model.architecture.name}"
            )
        return restored.float().cpu().clamp(0, 1)

    return restore


def _require_images(model: Any, checkpoint: str) -> None:
    """Check that a network makes of one image another, in RGB or in grey.

    spandrel goes by the names of tensors, so it takes some networks for others: FFDNet for a
    DnCNN of 12 channels, say.
    """
    from spandrel import ImageModelDescriptor

    rule = f"{checkpoint} must hold a network from one RGB image to another, or from grey to grey"
    found = f"got what spandrel takes for {model.architecture.name}"
    if not isinstance(model, ImageModelDescriptor):
        raise WeightsMissing(f"{rule}, {found}, which asks for a mask beside the image")
    channels = model.input_channels, model.output_channels
    if channels not in ((3, 3), (1, 1)):
        raise WeightsMissing(
            f"{rule}, {found}, with {channels[0]} channels in and {channels[1]} out; where it is "
            "another architecture, spandrel does not know it: use a checkpoint of one that it does"
        )


def _require_fitting(model: Any, degradations: Sequence[Degradation]) -> None:
    """Check that a network undoes the downscaling, and expects the noise, of the degradations."""
    factor = total_downscaling(degradations)
    if model.scale != factor:
        raise ConfigurationError(
            f"restore.checkpoint must enlarge by {factor}, which degrade reduces by, "
            f"got a network for {model.scale}"
        )
    asks_for_the_level = model.architecture.id == "DRUNet" or "FDnCNN" in model.tags
    if asks_for_the_level and abs(_noise_level(degradations) - _LEVEL_TOLD) > 0.001:
        raise ConfigurationError(
            f"restore.checkpoint must hold a network for noise of sigma "
            f"{_noise_level(degradations):.3f}, got one that is told the level "
            f"({model.architecture.name}), which spandrel always gives as 15/255; use one that was "
            "trained for this level, or for all without being told"
        )


def _noise_level(degradations: Sequence[Degradation]) -> float:
    """Return the standard deviation of all noise together, on the [0, 1] scale."""
    return math.hypot(*(step.sigma for step in degradations if isinstance(step, Noise)))
