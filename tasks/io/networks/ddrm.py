"""DDRM: restored images drawn by a diffusion model of diffusers, which is loaded here."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.ddrm import DdrmOptions
from dot_kernels.degradations import Degradation
from dot_kernels.restorers import draw_by_ddrm
from dot_kernels.sampling import sides_before, total_downscaling
from tasks.io.draws import generator_of
from tasks.io.errors import ConfigurationError, ImageRefused, WeightsMissing
from tasks.io.machine.devices import pick_device
from tasks.io.networks.digests import digest
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.model_folders import ModelFolder, placed, read_model, silent_diffusers
from tasks.io.networks.undoing import Undoing, require_linear
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.section import Revision, Sha256
from tasks.io.shards.sides import SideKind


class Ddrm(Undoing):
    """Images drawn by a diffusion model (Kawar et al. 2022): undoes all but JPEG, noise last."""

    kind: Literal["ddrm"]
    model: str
    """Folder with the files of a UNet2DModel that predicts noise, as diffusers saves it, or, with
    ``revision``, a hub repository; a relative path counts from the folder of the configuration
    file."""
    revision: Revision | None = None
    """The repository's commit, 40 digits; makes ``model`` a hub name."""
    file: Literal[
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.bin",
    ] = "diffusion_pytorch_model.safetensors"
    """The weights in the folder. config.json stands beside them, scheduler_config.json too, or,
    where they are in ``unet``, in ``scheduler``."""
    sha256: Sha256 | None = None
    """Digest that the file of weights must have; not checked when left out."""
    steps: Annotated[int, Field(ge=1)] = 20
    """Calls of the model for an image."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.85
    """How much of a step's noise is drawn anew where the image was not measured well."""
    eta_b: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Weight of the measurement where it is clearer than the step."""
    seed: int = 0
    """Another seed draws other images; they are drawn by the image's key, too."""

    def complaint(self) -> str | None:
        """Return what else ``undoes`` must say; None if it says enough."""
        return None if self.undoes else "must say what the images went through"


def identity_of_ddrm(spec: Ddrm, weights: Weights) -> dict[str, Any]:
    """Return what makes two restorers of this kind the same, for fingerprints.

    Raises:
        WeightsMissing: the model's files are not there, or not the ones that were named.
    """
    options = spec.model_dump(include={"kind", "steps", "eta", "eta_b", "seed"})
    if spec.revision is not None:
        return options | {"model": spec.model, "revision": spec.revision, "file": spec.file}
    return options | {"sha256": [digest(file) for file in locate_model(spec, weights)]}


def pulled_model(spec: Ddrm) -> tuple[str, ...]:
    """Return where a pulled folder keeps the configuration, the schedule and the weights."""
    return _folder(spec).pulled_names


def locate_model(spec: Ddrm, weights: Weights = FROM_THIS_MACHINE) -> tuple[Path, ...]:
    """Return the paths of configuration, schedule and weights on this machine's disk.

    Raises:
        WeightsMissing: they are nowhere, or are not the ones that were named.
    """
    return _folder(spec).locate(weights)


def _folder(spec: Ddrm) -> ModelFolder:
    inner = spec.file.startswith("unet/")
    return ModelFolder(
        place=spec.model,
        revision=spec.revision,
        sha256=spec.sha256,
        files=(
            "unet/config.json" if inner else "config.json",
            "scheduler/scheduler_config.json" if inner else "scheduler_config.json",
            spec.file,
        ),
        section="restore",
        field="model",
        shelf="restorers",
    )


@dataclass(frozen=True, eq=False)
class _UNet:
    """An ε-model (``dot_kernels.ddrm.EpsilonModel``) of a network of diffusers."""

    module: Any
    alphas_cumprod: Tensor
    alone: Lock = field(default_factory=Lock, repr=False)
    """Held while images are drawn: threads at once would only need more memory."""

    def __call__(self, noisy: Tensor, time: int) -> Tensor:
        """Return the predicted noise (b, 3, h, w); channels of a variance are left out."""
        predicted: Tensor = self.module(noisy, time).sample[:, :3]
        return predicted


@dataclass(frozen=True, eq=False)
class DdrmRestorer:
    """A diffusion model on its device that draws images by their keys."""

    device: str
    model: _UNet
    options: DdrmOptions
    seed: int
    takes_batches: bool = True
    scale: int | None = None

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Check that the degradations are linear, with noise at their end."""
        require_linear("ddrm", degradations)

    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None] = lambda _: None,
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return drawn images, which are never made in tiles; see ``LoadedRestorer``."""
        factor = total_downscaling(degradations)
        height, width = sides_before(degradations, (degraded.shape[2], degraded.shape[3]))
        _require_size(self.model.module.config, height, width, factor)
        generators = [generator_of("restore", self.seed, key) for key in keys]
        images = degraded.to(self.device)
        with self.model.alone, torch.inference_mode():
            return draw_by_ddrm(
                images, degradations, model=self.model, options=self.options, generators=generators
            )


def load_ddrm(spec: Ddrm, device: str, weights: Weights = FROM_THIS_MACHINE) -> DdrmRestorer:
    """Return the restorer on its device; its network is loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        weights: where the model is looked for, if the local folder is not there.

    Raises:
        WeightsMissing: the model is not there, not the one that was named, or not one that
            predicts noise in RGB images without being told more.
        ConfigurationError: the model's diffusion has fewer steps than are asked for.
    """
    with LOADING:
        _, schedule, tensors = files = locate_model(spec, weights)
        chosen = pick_device(device)
        model = _load_model(chosen, schedule, tensors, tuple(digest(file) for file in files))
    if spec.steps > (most := len(model.alphas_cumprod)):
        raise ConfigurationError(
            f"restore.steps must be at most {most}, the steps of the diffusion of {spec.model}, "
            f"got {spec.steps}"
        )
    options = DdrmOptions(steps=spec.steps, eta=spec.eta, eta_b=spec.eta_b)
    return DdrmRestorer(chosen, model, options, spec.seed)


@cached_per_device(2)
def _load_model(device: str, schedule: Path, tensors: Path, _digests: tuple[str, ...]) -> _UNet:
    """Load a network and its diffusion; digests are arguments so that changed files are read."""
    from diffusers import UNet2DModel

    rule = f"{tensors.parent} must hold a UNet2DModel that predicts noise in RGB images"
    alphas = _alphas_cumprod(schedule)
    module = read_model(UNet2DModel, tensors, rule, "restore.model")
    channels = module.config.in_channels, module.config.out_channels
    if channels not in ((3, 3), (3, 6)):  # three more are of a variance that was learned
        raise WeightsMissing(f"{rule}, got one from {channels[0]} channels to {channels[1]}")
    if module.class_embedding is not None:
        raise WeightsMissing(f"{rule}, got one that must be told what is in an image")
    return _UNet(placed(module, device).eval().requires_grad_(False), alphas)


def _alphas_cumprod(schedule: Path) -> Tensor:
    """Return ᾱ of each step of the diffusion that a file describes, float64 on the CPU.

    Raises:
        WeightsMissing: it describes none, or one of a model that predicts something else.
    """
    from diffusers import DDPMScheduler

    rule = f"{schedule} must describe the diffusion of a model that predicts noise"
    try:
        told = json.loads(schedule.read_text("utf-8"))
        if "beta_schedule" not in told and not told.get("trained_betas"):
            raise ValueError("it has no beta_schedule")
        scheduler: Any = DDPMScheduler
        with silent_diffusers():
            betas = scheduler.from_config(told).betas.double()
    except Exception as error:
        raise WeightsMissing(f"{rule}, but cannot be read as one: {error}") from error
    if (predicted := told.get("prediction_type", "epsilon")) != "epsilon":
        raise WeightsMissing(f"{rule}, got prediction_type {predicted}")
    if not bool(((betas > 0) & (betas < 1)).all()):
        raise WeightsMissing(f"{rule}, got betas that are not between 0 and 1")
    return torch.cumprod(1 - betas, 0)


def _require_size(config: Any, height: int, width: int, factor: int) -> None:
    """Check that a UNet2DModel makes images of this size, whose sides are multiples of a factor.

    Raises:
        ImageRefused: it was trained for another size, or cannot halve the sides as often as it
            does.
    """
    rounded = f", its sides rounded up to multiples of {factor}" if factor > 1 else ""
    found = f"got {height}×{width}{rounded}: crop the corpus"
    trained = config.sample_size
    if trained is not None:
        wanted = (trained, trained) if isinstance(trained, int) else tuple(trained)
        if (height, width) != wanted:
            raise ImageRefused(
                f"image must have {wanted[0]}×{wanted[1]} pixels, which DDRM's model was trained "
                f"for, {found}"
            )
    multiple = 2 ** (len(config.down_block_types) - 1)
    if height % multiple or width % multiple:
        raise ImageRefused(
            f"sides of an image must be multiples of {multiple} for DDRM's model, {found}"
        )
