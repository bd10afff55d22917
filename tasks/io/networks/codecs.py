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
from tasks.io.networks.autoencoders.of_diffusers import read_autoencoder
from tasks.io.networks.autoencoders.taef2 import (
    PUBLISHED_PARTS,
    TinyFlux2,
    locate_taef2,
    read_taef2,
    taef2_folder,
)
from tasks.io.networks.digests import digest
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.model_folders import ModelFolder, placed
from tasks.io.networks.plug_ins.codec import PlugInCodec, load_plug_in_codec
from tasks.io.networks.plug_ins.loading import plug_in_identity
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

    kind: Literal["autoencoder", "autoencoder-kl", "autoencoder-tiny"]
    """``autoencoder`` is any class that encodes single images, by the name in config.json."""
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

WithWeights = Autoencoder | TinyFlux2
"""Codecs that are networks."""

CodecSpec = Annotated[Pixel | WithWeights | PlugInCodec, Field(discriminator="kind")]
"""The section ``codec`` of a configuration."""


def codec_places(spec: CodecSpec) -> dict[str, str]:
    """Return the paths that a section names, by their fields in the configuration."""
    if isinstance(spec, PlugInCodec):
        return spec.file_places("codec")
    if isinstance(spec, Pixel) or getattr(spec, "revision", None) is not None:
        return {}
    return {} if spec.weights is None else {"codec.weights": spec.weights}


def codec_identity(spec: CodecSpec, weights: Weights = FROM_THIS_MACHINE) -> dict[str, Any]:
    """Return what makes two codecs the same, for fingerprints.

    It is the digest of a folder's or of published files, the commit of a hub repository, the
    version of a plug-in's package, or, for a codec without weights, its options.

    Args:
        spec: what the configuration says.
        weights: where weights are looked for, if the local folder is not there.

    Raises:
        WeightsMissing: neither the local folder nor the pulled one has them.
        ConfigurationError: the package of a plug-in is not installed.
    """
    if isinstance(spec, Pixel):
        return spec.model_dump()
    if isinstance(spec, PlugInCodec):
        return plug_in_identity("codec", spec, "codec")
    if isinstance(spec, Autoencoder) and spec.revision is not None:
        return {"kind": spec.kind, "weights": spec.weights, "revision": spec.revision}
    return {"kind": spec.kind, "sha256": [digest(path) for path in locate_codec(spec, weights)]}


def tile_that_matters(spec: CodecSpec, tile: int) -> dict[str, int]:
    """Return what fingerprints say of ``compute.tile``: nothing where tiles change no number.

    Tiles of most auto-encoders are blended, and each sees itself only. Pixel codec and
    ``AutoencoderTiny`` give in tiles what they give for the whole image.
    """
    return {} if spec.kind in ("pixel", "autoencoder-tiny") else {"tile": tile}


def precision_and_tile(spec: CodecSpec, precision: Precision, tile: int) -> dict[str, Any]:
    """Return what fingerprints of latents say of options that change how they are computed."""
    used = precision if isinstance(spec, WithWeights) else None
    return {"precision": used, **tile_that_matters(spec, tile)}


def load_codec(
    spec: CodecSpec, device: str, precision: Precision, weights: Weights = FROM_THIS_MACHINE
) -> Codec:
    """Return the codec on its device; it is loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        precision: of the network's numbers; plug-ins compute in float32.
        weights: where weights are looked for, before the hub and after a local folder.

    Raises:
        WeightsMissing: its weights are not there, not the ones that were named, or not those of
            a network of this kind.
        ConfigurationError: the package of a plug-in is not installed, or brings no codec.
    """
    if isinstance(spec, Pixel):
        return PixelCodec(spec.factor)
    if isinstance(spec, PlugInCodec):
        return load_plug_in_codec(spec, device)
    with LOADING:
        paths = locate_codec(spec, weights)
        digests = tuple(digest(path) for path in paths)
        return _load_autoencoder(pick_device(device), spec.kind, precision, paths, digests)


def precision_warning(spec: CodecSpec, device: str, precision: Precision) -> str | None:
    """Return a sentence on a precision that makes the codec slow here; None if it does not.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        precision: of the network's numbers.

    Raises:
        ConfigurationError: there is no such device.
    """
    if not isinstance(spec, WithWeights) or precision == "float32":
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
    device: str, kind: str, precision: Precision, paths: tuple[Path, ...], _digests: tuple[str, ...]
) -> Codec:
    """Load a network; digests of its files are an argument so that changed files are read."""
    dtype = getattr(torch, precision)
    if kind == "taef2":
        return AutoencoderCodec(read_taef2(paths, device, dtype))
    module = placed(read_autoencoder(kind, paths[-1]), device, dtype)
    try:
        return AutoencoderCodec(module)
    except TypeError as error:
        raise WeightsMissing(
            f"{paths[-1].parent} must hold an auto-encoder of RGB images of any size, as "
            f"codec.kind is {kind}; {error}"
        ) from error


def pulled_codec(spec: WithWeights) -> tuple[str, ...]:
    """Return where a pulled folder keeps the files: configuration and weights, or both parts."""
    folder = _folder(spec)
    if folder is None:
        return tuple(part.pulled_name for part in PUBLISHED_PARTS)
    return folder.pulled_names


def locate_codec(spec: WithWeights, weights: Weights = FROM_THIS_MACHINE) -> tuple[Path, ...]:
    """Return the paths of the files on this machine's disk: configuration and weights, or parts.

    A local folder is looked at first, then the pulled folder, then the hub; what is on the hub
    is fetched if it is not in the hub's cache.

    Raises:
        WeightsMissing: they are in none, or are not the ones that were named.
    """
    if isinstance(spec, TinyFlux2):
        return locate_taef2(spec, weights)
    return _folder_of_diffusers(spec).locate(weights)


def _folder(spec: WithWeights) -> ModelFolder | None:
    return taef2_folder(spec) if isinstance(spec, TinyFlux2) else _folder_of_diffusers(spec)


def _folder_of_diffusers(spec: Autoencoder) -> ModelFolder:
    return ModelFolder(
        place=spec.weights,
        revision=spec.revision,
        sha256=spec.sha256,
        files=_FILE_NAMES,
        section="codec",
        field="weights",
        shelf="codecs",
    )
