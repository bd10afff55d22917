"""The file of a fitted operator, with the codec that it was fitted with, for use by itself.

file = OperatorFile.load("workspace/operators/run/0123456789abcdef.safetensors")
enhanced = file.enhance(images, alphas=[0.25])  # images (b, 3, h, w) in [0, 1]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from dot_kernels import GreyCodec, TiledCodec
from dot_kernels.bands import band_rows, is_large
from dot_kernels.dials import LOW_KEPT, with_low_band
from dot_kernels.enhancement import Interpolation, at_each
from dot_kernels.rounds import AnyOperator, Between, transport_in_rounds
from dot_kernels.rounds_in_bands import enhance_in_bands
from tasks.config.compute import Compute
from tasks.direct.known_codecs import codec_of
from tasks.io.artifacts.moments import load_operator
from tasks.io.errors import ArtifactDamaged, ConfigurationError
from tasks.io.images import Pixels, Raster
from tasks.io.images.pixels import bands_of, to_pixels, to_tensor
from tasks.io.images.raster import Depth
from tasks.io.images.transparency import with_hidden, without_hidden
from tasks.io.machine.devices import pick_device
from tasks.io.machine.scratch import scratch_array
from tasks.io.networks.codecs import CodecSpec, codec_identity, load_codec
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights

AS_BY_DEFAULT = Between(low_band=LOW_KEPT)
"""How images are made unless a configuration says otherwise."""


@dataclass(frozen=True)
class OperatorFile:
    """A fitted operator and its codec, on a device."""

    operator: AnyOperator
    codec: TiledCodec
    facts: dict[str, Any]
    """What the file's header says of the fit: pairing, images, codec, patch size and others."""
    spec: CodecSpec
    """Says which codec it is."""
    weights: Weights = FROM_THIS_MACHINE
    """Where those of the codec are looked for."""
    device: str = "cpu"
    """That the codec is on."""
    options: Between = AS_BY_DEFAULT
    """How images are decoded, how patches are folded, and what low frequencies do."""
    interpolation: Interpolation = "image"
    """What alpha mixes."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        codec: CodecSpec | None = None,
        *,
        weights: Weights = FROM_THIS_MACHINE,
        device: str = "auto",
        tile: int = Compute().tile,
        options: Between = AS_BY_DEFAULT,
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
            options: how images are made; the pipeline's defaults, unless others are given.

        Raises:
            ConfigurationError: the file is none of an operator, or the codec must be given and is
                not, or is another than that of the fit.
            WeightsMissing: the codec's weights cannot be had.
        """
        operator, facts = _read(Path(path))
        spec = _codec_of_the_fit(path, facts.get("codec", {}), codec, weights)
        where = pick_device(device)
        loaded = TiledCodec(load_codec(spec, where, "float32", weights), tile)
        return cls(operator, loaded, facts, spec, weights, where, options)

    def on(self, device: str) -> "OperatorFile":
        """Return the same on another device: cpu, cuda, cuda:1, or auto."""
        where = pick_device(device)
        codec = load_codec(self.spec, where, "float32", self.weights)
        return replace(self, codec=replace(self.codec, codec=codec), device=where)

    def enhance(
        self,
        images: Tensor,
        alphas: Sequence[float],
        generators: Sequence[torch.Generator] = (),
        *,
        is_grey: bool = False,
    ) -> Tensor:
        """Return enhanced images (a, b, 3, h, w) in [0, 1], as the pipeline does.

        Args:
            images: (b, 3, h, w) in [0, 1], on the device.
            alphas: 0 is the full transport, 1 the image as it came.
            generators: one for each image, on the CPU; a stochastic operator needs them.
            is_grey: whether the images are grey, and so must what is made of them be.
        """
        codec = GreyCodec(self.codec) if is_grey else self.codec
        with torch.inference_mode():
            moved = transport_in_rounds(
                *(images, codec, self.operator),
                decoding=self.options.decoding,
                interpolation=self.interpolation,
                fold=self.options.fold,
                generators=generators,
            )
            return at_each(with_low_band(moved, self.options.low_band), alphas)

    def enhance_image(
        self,
        raster: Raster,
        alpha: float,
        generators: Sequence[torch.Generator] = (),
        depth: Depth | None = None,
    ) -> Pixels:
        """Return the pixels (h, w, 3) of an enhanced image, as the pipeline makes them.

        A large one is made in bands, and its pixels lie on disk.

        Args:
            raster: what it is made of: grey stays grey, and what is hidden stays as it is.
            alpha: see ``enhance``.
            generators: one on the CPU, for a stochastic operator.
            depth: type of the numbers of the enhanced pixels; by default that of the image.

        Raises:
            ConfigurationError: it is large, and latents are to be interpolated.
        """
        seen, depth = without_hidden(raster), raster.depth if depth is None else depth
        if is_large(raster.height, raster.width, self.codec.tile):
            made = self._in_bands(seen, alpha, generators, depth, is_grey=raster.is_grey)
        else:
            images = to_tensor([seen], self.device)
            enhanced = self.enhance(images, [alpha], generators, is_grey=raster.is_grey)
            made = to_pixels(enhanced[0, 0], depth)
        return with_hidden(made, raster)

    def _in_bands(
        self,
        pixels: Pixels,
        alpha: float,
        generators: Sequence[torch.Generator],
        depth: Depth,
        *,
        is_grey: bool,
    ) -> Pixels:
        """Return an enhanced large image, made in bands."""
        height, width, _ = pixels.shape
        if self.interpolation != "image":
            raise ConfigurationError(
                "an image must have at most eight tiles with interpolation: latent, got "
                f"{width}×{height} pixels of which {self.codec.tile}² are a tile; let a run do it"
            )
        rows, top = band_rows(width, self.codec), 0
        made = scratch_array(pixels.shape, depth)
        with torch.inference_mode():
            for band in enhance_in_bands(
                lambda: bands_of(pixels, rows, self.device),
                (height, width),
                self.codec,
                self.operator,
                alpha,
                self.options,
                generators,
                is_grey=is_grey,
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


def _codec_of_the_fit(
    path: str | Path, identity: Mapping[str, Any], codec: CodecSpec | None, weights: Weights
) -> CodecSpec:
    """Return the codec that a file's header names, or the given one if it is the same.

    Raises:
        ConfigurationError: it must be given and is not, or is another.
    """
    if codec is None:
        codec = codec_of(identity)
        if codec is None:
            raise ConfigurationError(
                "the codec must be given with --codec FOLDER (in Python, codec=…), as the operator "
                f"was fitted with one from a folder, of which {path} knows the digest alone"
            )
        if not isinstance(codec, PlugInCodec):
            return codec  # by a name that says all; of an editable plug-in the source says more
    if (found := codec_identity(codec, weights)) != identity:
        raise ConfigurationError(
            f"the codec must be the one that the operator was fitted with, {identity}, got {found}"
        )
    return codec
