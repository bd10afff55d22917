"""How large a codec's latents are and how many levels its decoder has, without its weights."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.config import Config
from tasks.config.patch_counts import LatentSize, known_latents, too_many
from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.networks.autoencoders.of_diffusers import (
    factor_in,
    latent_channels_in,
    options_in,
)
from tasks.io.networks.codecs import Autoencoder, CodecSpec, pulled_codec
from tasks.io.networks.weights import Weights

_CONFIG = "config.json"

_LEVELS = {"autoencoder-tiny": 4, "autoencoder-kl": 5, "taef2": 4}
"""Levels of the usual networks, by the kind of codec."""

_BEYOND_BLOCKS = {"AutoencoderTiny": 0, "AutoencoderKL": 1, "AutoencoderKLFlux2": 1}
"""How many levels networks have beside one for each block of their decoder, by class; those of
other classes have none."""


def latent_size(codec: CodecSpec, weights: Weights) -> LatentSize | None:
    """Return the size of a codec's latents, if it can be told without the hub.

    Args:
        codec: what encodes the images.
        weights: where a network's files are looked for.

    Returns:
        None where a network's configuration is not on this machine, or is not understood: the
        loading of the network says why.
    """
    if not isinstance(codec, Autoencoder):
        return known_latents(codec)
    try:
        options = _options(codec, weights)
    except (DotpipeError, OSError):
        return None
    channels, factor = latent_channels_in(options), factor_in(options)
    return LatentSize(channels, factor) if channels and factor else None


def large_patches(config: Config) -> str | None:
    """Return a sentence on patches that are so large that the fit takes long, if they are.

    Nothing is said where a network encodes images whose files are not on this machine yet.
    """
    latents = latent_size(config.codec, Weights.of(config.weights))
    return None if latents is None else too_many(latents, config.patch_size)


def levels_of(config: Config) -> tuple[int, ...]:
    """Return the levels whose activations are moved, from 0 up.

    Raises:
        ConfigurationError: the codec does not have them.
    """
    wanted, count = config.transport.levels, level_count(config)
    if wanted == "none":
        return ()
    if wanted == "all":
        return tuple(range(count))
    if (most := max(wanted, default=-1)) >= count:
        raise ConfigurationError(
            f"transport.levels must be among the {count} that the decoder of the codec has, "
            f"counted from 0, got {most}; write `levels: all`, or other levels"
        )
    return wanted


def possible_levels(config: Config) -> tuple[int, ...]:
    """Return the levels that may be moved, as far as that is known before weights are fetched."""
    wanted = config.transport.levels
    if isinstance(wanted, str):
        return tuple(range(level_count(config))) if wanted == "all" else ()
    return wanted


def level_count(config: Config) -> int:
    """Return how many levels the decoder of the codec has.

    Of a network whose configuration is not on this machine yet they are as many as its kind
    usually has.
    """
    usual = _LEVELS.get(config.codec.kind, 0)
    if not isinstance(config.codec, Autoencoder):
        return usual
    options = dict[str, Any]()
    with suppress(DotpipeError, OSError):
        options = _options(config.codec, Weights.of(config.weights))
    widths = options.get("decoder_block_out_channels") or options.get("block_out_channels")
    more = _BEYOND_BLOCKS.get(str(options.get("_class_name")))
    if not options:
        return usual
    return 0 if more is None or not isinstance(widths, list) else len(widths) + more


def _options(codec: Autoencoder, weights: Weights) -> dict[str, Any]:
    """Return what a network's config.json says; nothing if it is not on this machine.

    Raises:
        DotpipeError, OSError: it cannot be read.
    """
    path = _configuration(codec, weights)
    return {} if path is None else options_in(path)


def _configuration(codec: Autoencoder, weights: Weights) -> Path | None:
    """Return a network's config.json, from where the network would be loaded.

    Raises:
        WeightsMissing: the pulled folder does not have it.
    """
    from huggingface_hub import try_to_load_from_cache

    local = Path(codec.weights)
    if codec.revision is None and (weights.pulled is None or local.is_dir()):
        return local / _CONFIG
    if weights.pulled is not None and pulled_codec(codec)[0] in weights.pulled.manifest:
        return weights.pulled.take(pulled_codec(codec)[0])
    cached = try_to_load_from_cache(codec.weights, _CONFIG, revision=codec.revision)
    return Path(cached) if isinstance(cached, str) else None
