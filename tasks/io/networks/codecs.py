"""Codecs by name: what a configuration says of one, and the codec itself."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from dot_kernels import AutoencoderCodec, Codec, PixelCodec
from tasks.io.errors import WeightsMissing
from tasks.io.machine.devices import pick_device
from tasks.io.networks.digests import digest, require_digest, require_file
from tasks.io.networks.model_cache import LOADING, kept
from tasks.io.networks.weights import PULL_REMEDY
from tasks.io.networks.weights_folder import take
from tasks.io.section import Revision, Section, Sha256

Precision = Literal["float32", "bfloat16"]

_FILES = ("config.json", "diffusion_pytorch_model.safetensors")


class Pixel(Section):
    """Pixel-unshuffle, the codec that needs no weights."""

    kind: Literal["pixel"] = "pixel"
    factor: Annotated[int, Field(ge=1, le=32)] = 8


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


CodecSpec = Annotated[Pixel | Autoencoder, Field(discriminator="kind")]


def codec_identity(spec: CodecSpec, folder: str | None = None) -> dict[str, Any]:
    """What makes two codecs the same: a folder's content, or a hub repository's commit.

    Args:
        spec: what the configuration says.
        folder: filled by ``dotpipe weights pull``; used where a local folder is not there.

    Raises:
        WeightsMissing: a local folder lacks them, and the pulled one too.
    """
    if isinstance(spec, Pixel):
        return spec.model_dump()
    if spec.revision is not None:
        return {"kind": spec.kind, "weights": spec.weights, "revision": spec.revision}
    config, weights = locate_codec(spec, folder)
    digests = [require_digest(config, None, ""), require_digest(weights, None, "")]
    return {"kind": spec.kind, "sha256": digests}


def load_codec(
    spec: CodecSpec, device: str, precision: Precision, folder: str | None = None
) -> Codec:
    """The codec on its device; loaded once per process and device.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.
        precision: of the network.
        folder: filled by ``dotpipe weights pull``; looked at before the hub.

    Raises:
        WeightsMissing: its weights are not there, or not the ones that were named.
    """
    if isinstance(spec, Pixel):
        return PixelCodec(spec.factor)
    with LOADING:
        weights = locate_codec(spec, folder)[1]
        return _load_autoencoder(pick_device(device), spec, precision, weights, digest(weights))


@kept(4)  # two codecs, in float32 too for what is not finite in bfloat16
def _load_autoencoder(
    device: str, spec: Autoencoder, precision: Precision, weights: Path, _digest: str
) -> Codec:
    from diffusers import AutoencoderKL, AutoencoderTiny
    from diffusers.utils import logging

    kind = {"autoencoder-kl": AutoencoderKL, "autoencoder-tiny": AutoencoderTiny}[spec.kind]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # fields of an older config.json are no news to a user
    try:
        module = kind.from_pretrained(
            weights.parent,
            torch_dtype=torch.float32,  # any other would be the default of all threads meanwhile
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
        )
    finally:
        logging.set_verbosity(verbosity)
    # Channels last: a third less time in the convolutions, on the CPU and in bfloat16 on CUDA.
    dtype = getattr(torch, precision)
    return AutoencoderCodec(module.to(device, dtype, memory_format=torch.channels_last))


def pulled_codec(spec: Autoencoder) -> tuple[str, ...]:
    """Where a pulled folder keeps the configuration and the weights."""
    if spec.revision is not None:
        key = f"{spec.weights.replace('/', '--')}@{spec.revision}"
    else:
        key = Path(spec.weights).name
    return tuple(f"codecs/{key}/{name}" for name in _FILES)


def locate_codec(spec: Autoencoder, folder: str | None = None) -> tuple[Path, ...]:
    """Configuration and weights on disk; those of a hub repository are fetched if need be.

    A pulled folder comes before the hub, and after a local folder that is there.

    Raises:
        WeightsMissing: they cannot be had, or are not the ones that were named.
    """
    local = Path(spec.weights)
    if spec.revision is None and (folder is None or local.is_dir()):
        return _checked(_files(local), spec)
    complaint = ""
    if folder is not None:
        try:
            return _checked(tuple(take(name, folder) for name in pulled_codec(spec)), spec)
        except WeightsMissing as error:
            complaint = f"; {error}"
    if spec.revision is None:
        raise WeightsMissing(f"{local} must be the codec's folder, but is not there{complaint}")
    return _checked(_files(_hub_folder(spec, complaint)), spec)


def _checked(files: tuple[Path, ...], spec: Autoencoder) -> tuple[Path, ...]:
    require_digest(files[1], spec.sha256, "codec.sha256")
    return files


def _files(folder: Path) -> tuple[Path, ...]:
    """Configuration and weights in a folder that diffusers wrote."""
    remedy = (
        "codec.weights is a folder with config.json and safetensors as diffusers saves them, or, "
        "together with codec.revision, a hub repository"
    )
    return tuple(require_file(folder / name, remedy) for name in _FILES)


def _hub_folder(spec: Autoencoder, complaint: str) -> Path:
    """A snapshot of a hub repository on disk, fetched if it is not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(spec.weights, revision=spec.revision, allow_patterns=list(_FILES))
        )
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise WeightsMissing(
            f"the weights {spec.weights!r} at {spec.revision} cannot be fetched from the hub; "
            f"{PULL_REMEDY}, or copy {' and '.join(_FILES)} into a folder, name it as "
            f"codec.weights and leave out codec.revision{complaint}"
        ) from error
