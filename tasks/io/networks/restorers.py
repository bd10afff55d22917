"""Restorers: a section of the configuration goes in, the restorer on its device comes out.

Also where a restorer's checkpoint lies, and what identifies it in fingerprints.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dot_kernels.degradations import Degradation, GaussianBlur
from dot_kernels.linear_degradations import measurement_noise
from dot_kernels.restorers import Restorer, bicubic, noise_level, smooth
from dot_kernels.sampling import total_downscaling
from tasks.io.machine.devices import pick_device
from tasks.io.networks.codecs import Precision
from tasks.io.networks.ddrm import Ddrm, identity_of_ddrm, load_ddrm, locate_model
from tasks.io.networks.digests import digest, require_digest, require_file
from tasks.io.networks.loaded_restorers import ImageByImage, LoadedRestorer, non_local_means
from tasks.io.networks.model_cache import LOADING
from tasks.io.networks.patch_prior.restorer import load_patch_prior
from tasks.io.networks.patch_prior.section import PatchPrior, identity_of_patch_prior
from tasks.io.networks.plug_ins.loading import plug_in_identity
from tasks.io.networks.plug_ins.restorer import PlugInRestorer, load_plug_in_restorer
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.spandrel_networks.loading import load_checkpoint
from tasks.io.networks.undoing import Undoing
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.section import Sha256


class Bicubic(Undoing):
    """Bicubic interpolation back to the clean image's size."""

    kind: Literal["bicubic"]

    def complaint(self) -> str | None:
        """Return what else ``undoes`` must say; None if it says enough."""
        if total_downscaling(self.undoes) > 1:
            return None
        return "must hold what reduced the images, as {kind: downscale, factor: 4}"


class GaussianSmoother(Undoing):
    """Gaussian blur of the degraded image, then bicubic interpolation to the clean one's size."""

    kind: Literal["gaussian-blur"]
    size: int
    """Weights of the Gaussian along an axis: odd, at most 255. Their sum is 1, and borders are
    reflected."""
    sigma: float
    """Standard deviation of the Gaussian in pixels of the degraded image, above 0."""

    @model_validator(mode="after")
    def _the_blur_is_one(self) -> "GaussianSmoother":
        if not GaussianBlur(size=self.size, sigma=self.sigma).has_borders:  # has the other rules
            raise ValueError(f"size of the Gaussian that smooths must be odd, got {self.size}")
        return self


class NonLocalMeans(Undoing):
    """Non-local means (scikit-image, fast mode); noise level from ``degrade`` or ``undoes``."""

    kind: Literal["non-local-means"]
    strength: Annotated[float, Field(gt=0)] = 0.8
    """Cut-off distance in units of the noise's sigma."""
    patch_size: Annotated[int, Field(ge=3)] = 5
    """Height and width of the patches that are compared, in pixels."""
    patch_distance: Annotated[int, Field(ge=1)] = 6
    """How far away patches to compare with are looked for, in pixels."""

    def complaint(self) -> str | None:
        """Return what else ``undoes`` must say; None if it says enough."""
        if noise_level(self.undoes) > 0:
            return None
        return "must hold the noise, as {kind: noise, sigma: 0.1}"


class SpandrelCheckpoint(Undoing):
    """Any restoration network that spandrel recognises from its checkpoint."""

    kind: Literal["spandrel"]
    checkpoint: str
    """Path of the file; a relative one counts from the folder of the configuration file."""
    sha256: Sha256 | None = None
    """Digest that the file must have; not checked when left out."""


ReadyRestorer = (
    Bicubic
    | GaussianSmoother
    | NonLocalMeans
    | SpandrelCheckpoint
    | Ddrm
    | PatchPrior
    | PlugInRestorer
)
"""The sections of restorers that a run needs not train."""

RestorerSpec = Annotated[ReadyRestorer | ResidualTransport, Field(discriminator="kind")]
"""The section ``restore`` of a configuration."""

WithWeights = SpandrelCheckpoint | Ddrm
"""Those of them that have weights."""


def require_work(spec: RestorerSpec, degrade: Sequence[Degradation]) -> None:
    """Check that a restorer has something to undo, and can.

    Args:
        spec: what the configuration says.
        degrade: what clean images go through; none where degraded ones are given.

    Raises:
        ValueError: it has nothing to undo, cannot, or is told twice what it is.
    """
    if degrade and spec.undoes:
        raise ValueError("restore.undoes must be left out where degrade says what is undone")
    if not degrade and (said := spec.complaint()) is not None:
        raise ValueError(
            f"restore by {spec.kind} needs to know more of corpora.degraded: undoes {said}"
        )
    if isinstance(spec, NonLocalMeans) and not noise_level(degrade or spec.undoes) > 0:
        raise ValueError("restore by non-local-means needs noise in degrade, or does nothing")
    if isinstance(spec, ResidualTransport):
        spec.require_fitting(degrade or spec.undoes, makes_them=bool(degrade))
    if isinstance(spec, Ddrm | PatchPrior):
        try:
            measurement_noise(degrade or spec.undoes)  # has the rules
        except ValueError as error:
            said = "degrade" if degrade else "undoes"
            raise ValueError(f"restore by {spec.kind} cannot undo {said}: {error}") from error


def places_of(spec: RestorerSpec) -> dict[str, str]:
    """Return the paths and URLs that a section names, by their fields in the configuration."""
    match spec:
        case SpandrelCheckpoint(checkpoint=place):
            return {"restore.checkpoint": place}
        case Ddrm(model=place, revision=None):
            return {"restore.model": place}
        case PatchPrior(reference=place):
            return {"restore.reference": place}
        case PlugInRestorer():
            return spec.file_places("restore")
    return {}


def restorer_identity(spec: ReadyRestorer, weights: Weights = FROM_THIS_MACHINE) -> dict[str, Any]:
    """Return what makes two restorers the same, for fingerprints.

    It is the digest of the checkpoint, its options where there are some, or both; of a plug-in
    the version of its package too.

    Args:
        spec: what the configuration says.
        weights: where the checkpoint is looked for, if it is not where the section says.

    Raises:
        WeightsMissing: the checkpoint is not there, or not the one that was named.
        ConfigurationError: a reference is not there, or the package of a plug-in.
    """
    if isinstance(spec, Ddrm):
        return identity_of_ddrm(spec, weights)
    if isinstance(spec, PatchPrior):
        return identity_of_patch_prior(spec)
    if isinstance(spec, PlugInRestorer):
        return plug_in_identity("restorer", spec, "restore")
    if not isinstance(spec, SpandrelCheckpoint):
        return spec.making()
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
    spec: ReadyRestorer,
    device: str,
    weights: Weights = FROM_THIS_MACHINE,
    precision: Precision = "float32",
    tile: int = 512,
) -> LoadedRestorer:
    """Return the restorer; a network is on its device, loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        weights: where the checkpoint is looked for, if it is not where the section says.
        precision: of a network of spandrel; DDRM draws in float32.
        tile: side of a square with as many pixels as a tile of a larger image has, at most, where
            a network of spandrel restores it.

    Raises:
        WeightsMissing: the checkpoint is not there, not understood, or not of a network from
            one image to another.
        ConfigurationError: an option does not fit the network, a reference cannot be used, or the
            package of a plug-in is not installed.
    """
    match spec:
        case SpandrelCheckpoint():
            with LOADING:
                checkpoint = locate_checkpoint(spec, weights)
                known = str(checkpoint), digest(checkpoint)
                return load_checkpoint(pick_device(device), *known, precision, tile)
        case Ddrm():
            return load_ddrm(spec, device, weights)
        case PatchPrior():
            return load_patch_prior(spec, device)
        case PlugInRestorer():
            return load_plug_in_restorer(spec, device)
    return ImageByImage(_without_weights(spec))


def _without_weights(spec: Bicubic | GaussianSmoother | NonLocalMeans) -> Restorer:
    """Return a restorer of one image that needs nothing from elsewhere."""
    match spec:
        case GaussianSmoother(size=size, sigma=sigma):
            return partial(smooth, size=size, sigma=sigma)
        case NonLocalMeans():
            return non_local_means(spec.strength, spec.patch_size, spec.patch_distance)
    return bicubic
