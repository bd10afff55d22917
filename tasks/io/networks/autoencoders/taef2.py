"""TAEF2, the tiny auto-encoder of FLUX.2's latents: its section, its files, and the network."""

from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file

from dot_kernels.taef2 import Taef2
from tasks.io.errors import WeightsMissing
from tasks.io.networks.model_folders import ModelFolder, placed
from tasks.io.networks.published_weights import PublishedFile
from tasks.io.networks.weights import Weights, load_state
from tasks.io.section import Section

_FILES = ("encoder.safetensors", "decoder.safetensors")

_ADDRESS = "https://github.com/madebyollin/taesd/raw/5cccb12dc72074a4be35680c3b108548a7c69978"

PUBLISHED_PARTS = tuple(
    PublishedFile(name=name, address=f"{_ADDRESS}/{name}", sha256=sha256)
    for name, sha256 in (
        (
            "taef2_encoder.pth",
            "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
        ),
        (
            "taef2_decoder.pth",
            "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
        ),
    )
)
"""Encoder and decoder as their author publishes them, 2.7 MB each."""


PUBLISHED_IDENTITY = {"kind": "taef2", "sha256": [part.sha256 for part in PUBLISHED_PARTS]}
"""What fingerprints say of the published files."""


class TinyFlux2(Section):
    """TAEF2, the tiny auto-encoder of FLUX.2's latents: 32 channels, of 8 × 8 pixels each."""

    kind: Literal["taef2"]
    weights: str | None = None
    """Folder with encoder.safetensors and decoder.safetensors, under upstream's names of tensors;
    by default the published files, which are fetched."""


def taef2_folder(spec: TinyFlux2) -> ModelFolder | None:
    """Return the folder of weights that a configuration names; None for the published ones."""
    if spec.weights is None:
        return None
    return ModelFolder(
        place=spec.weights,
        revision=None,
        sha256=None,
        files=_FILES,
        section="codec",
        field="weights",
        shelf="codecs",
        also=", or is left out for the published files",
    )


def is_taef2(folder: Path) -> bool:
    """Return whether a folder has the files of TAEF2, as far as their names say."""
    return all((folder / name).is_file() for name in _FILES)


def locate_taef2(spec: TinyFlux2, weights: Weights) -> tuple[Path, ...]:
    """Return the paths of encoder and decoder on this machine's disk; published ones are fetched.

    Raises:
        WeightsMissing: they cannot be had.
    """
    folder = taef2_folder(spec)
    if folder is not None:
        return folder.locate(weights)
    need, otherwise = "the codec taef2", "name a folder of them as codec.weights"
    return tuple(weights.fetch(part, need=need, otherwise=otherwise) for part in PUBLISHED_PARTS)


def read_taef2(parts: tuple[Path, ...], device: str, dtype: Any) -> Taef2:
    """Return the network of two files on a device.

    Args:
        parts: of the encoder and of the decoder, as safetensors or as torch saves tensors.
        device: that it is put on.
        dtype: of its numbers.

    Raises:
        WeightsMissing: the files are those of another network.
    """
    module = Taef2()
    for path, network in zip(parts, (module.encoder, module.decoder), strict=True):
        try:
            state = load_file(path) if path.suffix == ".safetensors" else load_state(path)
            network.load_state_dict(state)
        except (RuntimeError, SafetensorError, OSError) as error:
            first = str(error).partition("\n")[0]
            raise WeightsMissing(
                f"{path} must hold the encoder or the decoder of TAEF2 under upstream's names, as "
                f"codec.kind is taef2, but cannot be read as one: {first}"
            ) from error
    found: Taef2 = placed(module, device, dtype)
    return found
