"""How large a codec's latents are and how many levels its decoder has, without its weights."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.config.patch_counts import LatentSize, known_latents, too_many
from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.networks.autoencoders.of_diffusers import (
    factor_in,
    latent_channels_in,
    options_in,
)
from tasks.io.networks.autoencoders.taef2 import TinyFlux2
from tasks.io.networks.codecs import Autoencoder, CodecSpec, pulled_codec
from tasks.io.networks.weights import Weights

_CONFIG = "config.json"

_LEVELS = {"autoencoder-tiny": 4, "autoencoder-kl": 5, "taef2": 4}
"""Levels of the usual networks, by the kind of codec."""

_TAEF2_WIDTH = 64
"""Channels of all its levels."""

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
    said = (too_many(each.size, each.patch, each.level) for each in patches_of_fit(config))
    return next(filter(None, said), None)


class FittedPatches(NamedTuple):
    """Patches whose moments a fit takes."""

    size: LatentSize
    """Of what they are cut from: latents, or the activations of a level."""
    patch: int
    """Their height and width in its pixels."""
    level: int | None
    """None for latents."""


def patches_of_fit(config: Config) -> list[FittedPatches]:
    """Return the patches of latents and of levels, as far as sizes can be told without the hub.

    Raises:
        ConfigurationError: the codec does not have such levels.
    """
    found, latents = list[FittedPatches](), latent_size(config.codec, Weights.of(config.weights))
    if latents is not None:
        found.append(FittedPatches(latents, config.patch_size, None))
    patch = config.transport.level_patch
    return found + [
        FittedPatches(size, patch, level) for level, size in level_sizes(config).items()
    ]


def level_sizes(config: Config) -> dict[int, LatentSize]:
    """Return the size of what the decoder shows at each level that is moved.

    None is told where a network's configuration is not on this machine yet.

    Raises:
        ConfigurationError: the codec does not have them.
    """
    levels, latents = levels_of(config), latent_size(config.codec, Weights.of(config.weights))
    widths = _level_widths(config)
    if latents is None or not widths:
        return {}
    return {level: LatentSize(widths[level], max(latents.factor >> level, 1)) for level in levels}


def _level_widths(config: Config) -> list[int]:
    """Return the channels at each level of the decoder; empty where they are not known."""
    if isinstance(config.codec, TinyFlux2):
        return [_TAEF2_WIDTH] * _LEVELS["taef2"]
    options = _known_options(config)
    widths, more = _widths_in(options), _BEYOND_BLOCKS.get(str(options.get("_class_name")))
    if more == 0:  # a tiny one
        return widths
    return [widths[-1], *reversed(widths)] if more and widths else []


def levels_of(config: Config) -> tuple[int, ...]:
    """Return the levels whose activations are moved, from 0 up.

    Raises:
        ConfigurationError: the codec does not have them.
    """
    wanted = config.transport.levels
    count = level_count(config)
    if isinstance(wanted, str):
        return _levels_by_name(config, count)
    if wanted and not count:
        raise ConfigurationError(
            f"transport.levels must be none with a codec whose decoder has none, got {list(wanted)}"
            "; write `levels: none`, or choose another codec"
        )
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
        return _levels_by_name(config, level_count(config))
    return wanted


def _levels_by_name(config: Config, count: int) -> tuple[int, ...]:
    """Return the levels of ``auto``, ``all`` or ``none``, of a decoder that has so many."""
    wanted = config.transport.levels
    if wanted == "auto":
        return tuple(range(1, count)) if config.codec.kind == "autoencoder-tiny" else ()
    return tuple(range(count)) if wanted == "all" else ()


def level_count(config: Config) -> int:
    """Return how many levels the decoder of the codec has.

    Of a network whose configuration is not on this machine yet they are as many as its kind
    usually has.
    """
    usual = _LEVELS.get(config.codec.kind, 0)
    options = _known_options(config)
    if not options:
        return usual
    widths, more = _widths_in(options), _BEYOND_BLOCKS.get(str(options.get("_class_name")))
    return len(widths) + more if widths and more is not None else 0


def _known_options(config: Config) -> dict[str, Any]:
    """Return what the configuration of the codec's network says; nothing if it is not here."""
    if isinstance(config.codec, Autoencoder):
        with suppress(DotpipeError, OSError):
            return _options(config.codec, Weights.of(config.weights))
    return {}


def _widths_in(options: Mapping[str, Any]) -> list[int]:
    """Return the channels of the blocks of a decoder as a configuration lists them."""
    widths = options.get("decoder_block_out_channels") or options.get("block_out_channels")
    return widths if isinstance(widths, list) else []


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
