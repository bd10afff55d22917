"""The file of a fitted operator, with the codec that it was fitted with, for use by itself.

file = OperatorFile.load("workspace/operators/run/0123456789abcdef.safetensors")
enhanced = file.enhance(images, alphas=[0.25])  # images (b, 3, h, w) in [0, 1]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from dot_kernels import TiledCodec
from dot_kernels.bands import band_rows, is_large
from dot_kernels.dials import LOW_KEPT, LowBand, with_low_band
from dot_kernels.enhancement import at_each
from dot_kernels.rounds import AnyOperator, transport_in_rounds
from dot_kernels.rounds_in_bands import enhance_in_bands
from tasks.config.compute import Compute
from tasks.direct.known_codecs import KNOWN_CODECS
from tasks.io.artifacts.moments import load_operator
from tasks.io.errors import ArtifactDamaged, ConfigurationError
from tasks.io.images import Pixels
from tasks.io.images.pixels import bands_of, to_pixels, to_tensor
from tasks.io.images.raster import EIGHT_BITS, Depth
from tasks.io.machine.scratch import scratch_array
from tasks.io.networks.autoencoders.taef2 import PUBLISHED_IDENTITY, TinyFlux2
from tasks.io.networks.codecs import Autoencoder, CodecSpec, Pixel, codec_identity, load_codec
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights


@dataclass(frozen=True)
class OperatorFile:
    """A fitted operator and its codec, on a device."""

    operator: AnyOperator
    codec: TiledCodec
    facts: dict[str, Any]
    """What the file's header says of the fit: pairing, images, codec, patch size and others."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        codec: CodecSpec | None = None,
        *,
        weights: Weights = FROM_THIS_MACHINE,
        device: str = "auto",
        tile: int = Compute().tile,
    ) -> "OperatorFile":
        """Return the operator that a file holds.

        Args:
            path: a file of ``operators/<name>`` of a workspace.
            codec: what it was fitted with; by default what the header names, which for weights
                from a folder is their digest alone.
            weights: where the codec's weights are looked for.
            device: cpu, cuda, cuda:1, or auto.
            tile: side of a tile in pixels; larger images are encoded and decoded in tiles, by an
                ``AutoencoderKL`` in blended ones. See ``compute.tile``.

        Raises:
            ConfigurationError: the file is none of an operator, or the codec must be given and is
                not, or is another than that of the fit.
            WeightsMissing: the codec's weights cannot be had.
        """
        operator, facts = _read(Path(path))
        identity = facts.get("codec", {})
        spec = _codec_of(identity) if codec is None else codec
        if spec is None:
            raise ConfigurationError(
                "the codec must be given with --codec FOLDER, as the operator was fitted with one "
                f"from a folder, of which {path} knows the digest alone"
            )
        if codec is not None and codec_identity(codec, weights) != identity:
            raise ConfigurationError(
                f"the codec must be the one that the operator was fitted with, {identity}, got "
                f"{codec_identity(codec, weights)}"
            )
        loaded = load_codec(spec, device, "float32", weights)
        return cls(operator, TiledCodec(loaded, tile), facts)

    def enhance(
        self,
        images: Tensor,
        alphas: Sequence[float],
        generators: Sequence[torch.Generator] = (),
        low_band: LowBand | None = LOW_KEPT,
    ) -> Tensor:
        """Return enhanced images (a, b, 3, h, w) in [0, 1], as the pipeline does by default.

        Args:
            images: (b, 3, h, w) in [0, 1], on the device.
            alphas: 0 is the full transport, 1 the image as it came.
            generators: one for each image, on the CPU; a stochastic operator needs them.
            low_band: what low frequencies do; None where they move as high ones do.
        """
        with torch.inference_mode():
            moved = transport_in_rounds(images, self.codec, self.operator, generators=generators)
            return at_each(with_low_band(moved, low_band), alphas)

    def enhance_pixels(
        self,
        pixels: Pixels,
        alpha: float,
        generators: Sequence[torch.Generator],
        device: str,
        depth: Depth = EIGHT_BITS,
        low_band: LowBand | None = LOW_KEPT,
    ) -> Pixels:
        """Return an enhanced image (h, w, 3); a large one is made in bands, and lies on disk.

        Args:
            pixels: (h, w, 3).
            alpha: see ``enhance``.
            generators: one on the CPU, for a stochastic operator.
            device: that the codec is on.
            depth: type of the numbers of the enhanced pixels.
            low_band: see ``enhance``.
        """
        height, width, _ = pixels.shape
        if not is_large(height, width, self.codec.tile):
            enhanced = self.enhance(to_tensor([pixels], device), [alpha], generators, low_band)
            return to_pixels(enhanced[0, 0], depth)
        rows = band_rows(width, self.codec)
        made, top = scratch_array(pixels.shape, depth), 0
        with torch.inference_mode():
            for band in enhance_in_bands(
                lambda: bands_of(pixels, rows, device),
                (height, width),
                self.codec,
                self.operator,
                alpha,
                generators=generators,
                low_band=low_band,
            ):
                made[top : top + band.shape[2]] = to_pixels(band[0], depth)
                top += band.shape[2]
        return made


def _read(path: Path) -> tuple[AnyOperator, dict[str, Any]]:
    """Return an operator, and what its header says of the fit.

    Raises:
        ConfigurationError: the file is none of an operator.
    """
    try:
        operator, _, facts = load_operator(path)
    except (ArtifactDamaged, ValueError, OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"an operator must be a whole file of `operators/<name>` of a workspace, got {path}: "
            f"{error}"
        ) from error
    return operator, facts


def _codec_of(identity: Mapping[str, Any]) -> CodecSpec | None:
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
            f"{identity['entry']!r} and files, of which it knows the digests alone; in Python, by "
            "OperatorFile.load(path, PlugInCodec(kind='plug-in', entry=…, files=…))"
        )
    known = PlugInCodec.model_fields
    return PlugInCodec.model_validate({n: value for n, value in identity.items() if n in known})
