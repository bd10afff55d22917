"""Codecs: a section of the configuration goes in, the codec on its device comes out.

Also where a codec's weights lie, and what identifies them in fingerprints.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from dot_kernels import AutoencoderCodec, Codec, PixelCodec
from tasks.io.errors import WeightsMissing
from tasks.io.machine.devices import computes_bfloat16, device_label, devices, pick_device
from tasks.io.networks.digests import digest
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.model_folders import ModelFolder, placed, read_model
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.section import Revision, Section, Sha256

Precision = Literal["float32", "bfloat16"]
"""The numbers that a codec computes with."""

_FILE_NAMES = ("config.json", "diffusion_pytorch_model.safetensors")
"""What diffusers calls the configuration and the weights of an auto-encoder."""


class Pixel(Section):
    """Pixel-unshuffle, the codec that needs no weights."""

    kind: Literal["pixel"] = "pixel"
    factor: Annotated[int, Field(ge=1, le=32)] = 8
    """Height and width, in pixels, of the square that becomes one latent pixel."""


class Autoencoder(Section):
    """A diffusers auto-encoder, from a local folder or the hub."""

    kind: Literal["autoencoder-kl", "autoencoder-tiny"]
    weights: str
    """Folder with config.json and safetensors, or, with ``revision``, a hub repository."""
    revision: Revision | None = None
    """The repository's commit, 40 digits; makes ``weights`` a hub name."""
    sha256: Sha256 | None = None
    """Digest that the safetensors file must have; not checked when left out."""


STABLE_DIFFUSION_VAE = Autoencoder(
    kind="autoencoder-kl",
    weights="stabilityai/sd-vae-ft-mse",
    revision="31f26fdeee1355a5c34592e401dd41e45d25a493",
    sha256="a1d993488569e928462932c8c38a0760b874d166399b14414135bd9c42df5815",
)
"""The codec of a configuration that names none."""

CodecSpec = Annotated[Pixel | Autoencoder, Field(discriminator="kind")]
"""The section ``codec`` of a configuration."""


def codec_identity(spec: CodecSpec, weights: Weights = FROM_THIS_MACHINE) -> dict[str, Any]:
    """Return what makes two codecs the same, for fingerprints.

    It is the digest of a folder's files, the commit of a hub repository, or, for a codec without
    weights, its options.

    Args:
        spec: what the configuration says.
        weights: where weights are looked for, if the local folder is not there.

    Raises:
        WeightsMissing: neither the local folder nor the pulled one has them.
    """
    if isinstance(spec, Pixel):
        return spec.model_dump()
    if spec.revision is not None:
        return {"kind": spec.kind, "weights": spec.weights, "revision": spec.revision}
    config, tensors = locate_codec(spec, weights)
    return {"kind": spec.kind, "sha256": [digest(config), digest(tensors)]}


def tile_that_matters(spec: CodecSpec, tile: int) -> dict[str, int]:
    """Return what fingerprints say of ``compute.tile``: nothing where tiles change no number.

    Tiles of an ``AutoencoderKL`` are blended, and each sees itself only. Pixel codec and tiny
    auto-encoders give in tiles what they give for the whole image.
    """
    return {"tile": tile} if spec.kind == "autoencoder-kl" else {}


def precision_and_tile(spec: CodecSpec, precision: Precision, tile: int) -> dict[str, Any]:
    """Return what fingerprints of latents say of options that change how they are computed."""
    used = None if isinstance(spec, Pixel) else precision
    return {"precision": used, **tile_that_matters(spec, tile)}


def load_codec(
    spec: CodecSpec, device: str, precision: Precision, weights: Weights = FROM_THIS_MACHINE
) -> Codec:
    """Return the codec on its device; it is loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        precision: of the network's numbers.
        weights: where weights are looked for, before the hub and after a local folder.

    Raises:
        WeightsMissing: its weights are not there, not the ones that were named, or not those of
            a network of this kind.
    """
    if isinstance(spec, Pixel):
        return PixelCodec(spec.factor)
    with LOADING:
        tensors = locate_codec(spec, weights)[1]
        return _load_autoencoder(pick_device(device), spec, precision, tensors, digest(tensors))


def precision_warning(spec: CodecSpec, device: str, precision: Precision) -> str | None:
    """Return a sentence on a precision that makes the codec slow here; None if it does not.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        precision: of the network's numbers.

    Raises:
        ConfigurationError: there is no such device.
    """
    if isinstance(spec, Pixel) or precision == "float32":
        return None
    slow = [device_label(each) for each in devices(device) if not computes_bfloat16(each)]
    if not slow:
        return None
    return (
        f"compute.precision is {precision}, for which {slow[0]} has no instructions: the codec may "
        "take fifty times as long as in float32; write `precision: float32`"
    )


@cached_per_device(4)  # two codecs, in float32 too for what is not finite in bfloat16
def _load_autoencoder(
    device: str, spec: Autoencoder, precision: Precision, tensors: Path, _digest: str
) -> Codec:
    """Load a network of diffusers; its digest is an argument so that changed files are read."""
    module = _rgb_autoencoder(spec, tensors)
    return AutoencoderCodec(placed(module, device, getattr(torch, precision)))


def _rgb_autoencoder(spec: Autoencoder, tensors: Path) -> Any:
    """Return the network in a file of weights, which must be one for RGB images.

    Raises:
        WeightsMissing: the files are those of another network, or of one for other images.
    """
    from diffusers import AutoencoderKL, AutoencoderTiny

    kind = {"autoencoder-kl": AutoencoderKL, "autoencoder-tiny": AutoencoderTiny}[spec.kind]
    rule = (
        f"{tensors.parent} must hold an {kind.__name__} for RGB images, as codec.kind is "
        f"{spec.kind}"
    )
    module = read_model(kind, tensors, rule, "codec.kind")
    if (channels := (module.config.in_channels, module.config.out_channels)) != (3, 3):
        raise WeightsMissing(f"{rule}, got one from {channels[0]} channels to {channels[1]}")
    return module


def pulled_codec(spec: Autoencoder) -> tuple[str, ...]:
    """Return where a pulled folder keeps the configuration and the weights."""
    return _folder(spec).pulled_names


def locate_codec(spec: Autoencoder, weights: Weights = FROM_THIS_MACHINE) -> tuple[Path, ...]:
    """Return the paths of configuration and weights on this machine's disk.

    A local folder is looked at first, then the pulled folder, then the hub; what is on the hub
    is fetched if it is not in the hub's cache.

    Raises:
        WeightsMissing: they are in none, or are not the ones that were named.
    """
    return _folder(spec).locate(weights)


def _folder(spec: Autoencoder) -> ModelFolder:
    return ModelFolder(
        place=spec.weights,
        revision=spec.revision,
        sha256=spec.sha256,
        files=_FILE_NAMES,
        section="codec",
        field="weights",
        shelf="codecs",
    )
