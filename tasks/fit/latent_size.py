"""How large a codec's latents are: of a network, read from its configuration, without weights."""

from pathlib import Path

from tasks.config import Config
from tasks.config.patch_counts import LatentSize, known_latents, too_many
from tasks.io.errors import DotpipeError
from tasks.io.networks.autoencoders.of_diffusers import (
    factor_in,
    latent_channels_in,
    options_in,
)
from tasks.io.networks.codecs import Autoencoder, CodecSpec, pulled_codec
from tasks.io.networks.weights import Weights

_CONFIG = "config.json"


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
        path = _configuration(codec, weights)
    except (DotpipeError, OSError):
        return None
    options = {} if path is None else options_in(path)
    channels, factor = latent_channels_in(options), factor_in(options)
    return LatentSize(channels, factor) if channels and factor else None


def large_patches(config: Config) -> str | None:
    """Return a sentence on patches that are so large that the fit takes long, if they are.

    Nothing is said where a network encodes images whose files are not on this machine yet.
    """
    latents = latent_size(config.codec, Weights.of(config.weights))
    return None if latents is None else too_many(latents, config.patch_size)


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
