"""Codecs that go by a short name: their weights, the revision of these, and the digest.

The names stand in the help of `dotpipe init` and `dotpipe enhance`; a test compares.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.config.places import anchored
from tasks.io.errors import ConfigurationError
from tasks.io.networks.autoencoders.of_diffusers import IMAGE_CLASSES, kind_of
from tasks.io.networks.autoencoders.taef2 import PUBLISHED_IDENTITY, TinyFlux2, is_taef2
from tasks.io.networks.codecs import (
    STABLE_DIFFUSION_VAE,
    Autoencoder,
    CodecSpec,
    Pixel,
    codec_identity,
    codec_places,
)
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.plug_ins.installed import find

KNOWN_CODECS: dict[str, CodecSpec] = {
    "pixel": Pixel(),
    "taesd": Autoencoder(
        kind="autoencoder-tiny",
        weights="madebyollin/taesd",
        revision="614f76814bbe30edbe2e627ace1c2234c81a2c0e",
        sha256="db169d69145ec4ff064e49d99c95fa05d3eb04ee453de35824a6d0f325513549",
    ),
    "taesd3": Autoencoder(
        kind="autoencoder-tiny",
        weights="madebyollin/taesd3",
        revision="d58dcaccd2b36fcb7a6b9e93c1cc507acab5a778",
        sha256="6f79c1397cb9ce1dac363722dbe70147aee0ccca75e28338f8482fe515891399",
    ),
    "taef2": TinyFlux2(kind="taef2"),
    "sd": STABLE_DIFFUSION_VAE,
}
"""The codecs by their names: no weights; the tiny auto-encoders of Stable Diffusion 1 and 3
(10 MB each) and of FLUX.2 (5 MB); Stable Diffusion's own (335 MB, which wants a GPU)."""

_PLUG_IN = "plug-in:"
"""How names of codecs begin that packages bring."""


def codec_named(name: str) -> CodecSpec:
    """Return the codec that a person means by a short name, or by a folder of weights.

    Args:
        name: one of ``KNOWN_CODECS``, ``plug-in:`` and the name of an entry point, or a folder
            with the config.json and the safetensors of an auto-encoder, as diffusers saves them;
            a relative one counts from the current folder.

    Raises:
        ConfigurationError: it is none of them, or no installed package brings the plug-in.
    """
    if name in KNOWN_CODECS:
        return KNOWN_CODECS[name]
    if name.startswith(_PLUG_IN):
        entry = find("codec", name.removeprefix(_PLUG_IN), field="--codec").name
        return PlugInCodec(kind="plug-in", entry=entry)
    folder = Path(anchored(name, Path.cwd(), "--codec"))
    if is_taef2(folder):
        return TinyFlux2(kind="taef2", weights=str(folder))
    kind = kind_of(folder)
    if kind is None:
        raise ConfigurationError(
            f"a codec must be {', '.join(KNOWN_CODECS)}, {_PLUG_IN}NAME, or a folder in which "
            f"diffusers has saved an auto-encoder of images ({', '.join(IMAGE_CLASSES)}), or one "
            f"with the two files of TAEF2, got {name!r}"
        )
    return Autoencoder.model_validate({"kind": kind, "weights": str(folder)})


def codec_in(section: Mapping[str, Any]) -> CodecSpec:
    """Return the codec of a section ``codec`` as a configuration has it.

    Args:
        section: with its ``kind``; relative paths count from the current folder.

    Raises:
        ConfigurationError: there is no such codec.
    """
    try:
        spec: CodecSpec = TypeAdapter[Any](CodecSpec).validate_python(dict(section))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise ConfigurationError(
            "codec must be a section as configurations have it, {'kind': …} with its options, got "
            f"{dict(section)}: {place} {problem['msg']}"
        ) from error
    if isinstance(spec, PlugInCodec):
        files = {n: anchored(p, Path.cwd(), f"codec.files.{n}") for n, p in spec.files.items()}
        return spec.model_copy(update={"files": files})
    if isinstance(spec, Pixel) or "codec.weights" not in codec_places(spec):
        return spec
    return spec.model_copy(
        update={"weights": anchored(str(spec.weights), Path.cwd(), "codec.weights")}
    )


def codec_of(identity: Mapping[str, Any]) -> CodecSpec | None:
    """Return the codec that has this identity; None if it is known by a digest alone."""
    if identity.get("kind") == "pixel":
        return Pixel.model_validate(dict(identity))
    if identity == PUBLISHED_IDENTITY:
        return TinyFlux2(kind="taef2")
    if identity.get("kind") == "plug-in":
        return _plug_in(identity)
    if "revision" not in identity:
        return None
    known = (codec for codec in KNOWN_CODECS.values() if isinstance(codec, Autoencoder))
    named = (codec for codec in known if codec_identity(codec) == identity)
    return next(named, Autoencoder.model_validate(dict(identity)))


def _plug_in(identity: Mapping[str, Any]) -> PlugInCodec:
    """Return the plug-in that has this identity, of the version of the fit.

    Raises:
        ConfigurationError: it was told files, of which the identity has the digests alone.
    """
    if "sha256" in identity:
        raise ConfigurationError(
            f"the codec must be given, as the operator was fitted with the plug-in "
            f"{identity['entry']!r} and files, of which it knows the digests alone; do it in "
            "Python, by DeepOptimalTransport.from_pretrained(operator, codec={'kind': 'plug-in', "
            f"'entry': {identity['entry']!r}, 'files': {{…}}}})"
        )
    known = PlugInCodec.model_fields
    return PlugInCodec.model_validate({n: value for n, value in identity.items() if n in known})
