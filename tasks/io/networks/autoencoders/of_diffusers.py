"""Auto-encoders of diffusers: which classes encode single images, read from a folder of weights."""

import json
from pathlib import Path
from typing import Any

from tasks.io.errors import WeightsMissing
from tasks.io.networks.model_folders import read_model

IMAGE_CLASSES = (
    "AutoencoderKL",
    "AutoencoderTiny",
    "AsymmetricAutoencoderKL",
    "AutoencoderDC",
    "AutoencoderKLFlux2",
    "AutoencoderKLHunyuanImage",
    "AutoencoderKLHunyuanImageRefiner",
    "AutoencoderKLKVAE",
    "AutoencoderKLQwenImage",
    "AutoencoderKLWan",
    "AutoencoderKLCogVideoX",
    "AutoencoderKLHunyuanVideo",
    "AutoencoderKLTemporalDecoder",
    "VQModel",
)
"""Classes of diffusers that encode single RGB images and decode the same every time.

Those of videos encode an image as one frame. Left out are those of sound, those that want several
frames, and those that draw noise to decode, which would not cancel in residual decoding.
"""

_BY_KIND = {"autoencoder-kl": "AutoencoderKL", "autoencoder-tiny": "AutoencoderTiny"}
"""The classes that kinds of codecs name; any other kind leaves it to config.json."""


def kind_of(folder: Path) -> str | None:
    """Return the kind of codec that a folder of weights is for; None if it is of none.

    Args:
        folder: with a config.json that diffusers has written.
    """
    name = options_in(folder / "config.json").get("_class_name")
    named = {cls: kind for kind, cls in _BY_KIND.items()}
    return named.get(str(name), "autoencoder") if name in IMAGE_CLASSES else None


def read_autoencoder(kind: str, tensors: Path) -> Any:
    """Return the network in a file of weights, in float32.

    Args:
        kind: of the codec. ``autoencoder`` takes the class that config.json names.
        tensors: the file of weights; config.json stands beside it.

    Raises:
        WeightsMissing: the files are those of another network, or of none that encodes RGB images.
    """
    from diffusers.models import autoencoders

    folder = tensors.parent
    name = _BY_KIND.get(kind) or options_in(folder / "config.json").get("_class_name")
    if name not in IMAGE_CLASSES:
        raise WeightsMissing(
            f"{folder} must hold an auto-encoder of single images, as codec.kind is {kind}, got "
            f"{name or 'no'} as _class_name of its config.json; known are "
            f"{', '.join(IMAGE_CLASSES)}"
        )
    rule = f"{folder} must hold an {name} for RGB images, as codec.kind is {kind}"
    module = read_model(getattr(autoencoders, name), tensors, rule, "codec.kind")
    channels = [getattr(module.config, f"{end}_channels", 3) for end in ("in", "out")]
    if channels != [3, 3]:
        raise WeightsMissing(f"{rule}, got one from {channels[0]} channels to {channels[1]}")
    return module


def options_in(path: Path) -> dict[str, Any]:
    """Return the options in a config.json; none where it is not there, or no such file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def latent_channels_in(options: dict[str, Any]) -> int | None:
    """Return how many channels latents have by a network's options; None if these do not say."""
    found = next((options[name] for name in _CHANNELS if name in options), None)
    return found if isinstance(found, int) else None


def factor_in(options: dict[str, Any]) -> int | None:
    """Return how many pixels a latent pixel has along a side; None if options do not say it."""
    ratio = options.get("spatial_compression_ratio") or options.get("scale_factor_spatial")
    if isinstance(ratio, int):
        return ratio
    widths = next((options[name] for name in _WIDTHS if options.get(name)), None)
    return int(2 ** (len(widths) - 1)) if isinstance(widths, list) else None


_CHANNELS = ("latent_channels", "z_dim", "z_channels")
"""Options that say how many channels latents have."""

_WIDTHS = (
    "block_out_channels",
    "encoder_block_out_channels",
    "decoder_block_out_channels",  # all that a tiny one has that diffusers itself did not save
    "down_block_out_channels",
    "dim_mult",
    "ch_mult",
)
"""Options with a number for every resolution that activations have, each half of the one before."""
