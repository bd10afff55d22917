"""The way of an image through a codec that is tried: maps fitted, the image enhanced by them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dot_kernels import (
    TiledCodec,
    patch_moments,
    solve_transport,
    transport_images,
    transport_latents,
)
from dot_kernels.dials import with_low_band
from dot_kernels.enhancement import at_each, encode_padded, whole_cells
from dot_kernels.level_fitting import fit_level
from dot_kernels.levels import LevelledOperator, Operator, latent_part, level_channels
from dot_kernels.moments import merge
from tasks.config import Config
from tasks.direct.codec_images import TrialImages
from tasks.io.draws import generator_of
from tasks.io.errors import CorpusError
from tasks.io.images import Pixels
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.machine.devices import pick_device
from tasks.io.networks.codecs import CodecSpec, Pixel, load_codec
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights

ALPHAS = (0.0, 0.25, 0.5, 0.75)
"""At which images are enhanced."""


@dataclass(frozen=True)
class Way:
    """The way of an image through a codec and its operator."""

    name: str
    codec: TiledCodec
    operator: Operator
    config: Config
    device: str
    latents: tuple[list[Tensor], list[Tensor]]
    """Latents of restored and natural images that the operator is fitted on, one by one."""
    seconds: float
    """That the fit took, latents included."""
    plain: str | None = None
    """Of a way with levels, the name of that without; None of others."""

    @classmethod
    def fitted(
        cls,
        name: str,
        spec: CodecSpec,
        images: TrialImages,
        config: Config,
        weights: Weights = FROM_THIS_MACHINE,
    ) -> "Way":
        """Return the way of a codec, whose map of latents is fitted.

        Args:
            name: what tables call the codec.
            spec: which it is.
            images: on which the map is fitted.
            config: of the patches, the fit and the device.
            weights: where those of the codec are looked for.

        Raises:
            WeightsMissing: those of the codec cannot be had.
            CorpusError: no transport can be fitted to so few or small images.
        """
        device = pick_device(config.compute.device)
        loaded = load_codec(spec, device, config.compute.precision, weights)
        codec = TiledCodec(loaded, config.compute.tile)
        size = config.patches.size or (1 if isinstance(spec, Pixel) else 3)
        start = time.perf_counter()
        latents = (
            _latents(images.fitted, codec, device),
            _latents(images.natural, codec, device),
        )
        try:
            source, target = (merge(patch_moments(each, size) for each in side) for side in latents)
            operator = solve_transport(source, target, ridge=config.fit.ridge)
        except ValueError as error:
            raise CorpusError(f"no transport can be fitted with {name}: {error}") from error
        return cls(name, codec, operator, config, device, latents, time.perf_counter() - start)

    @property
    def levels(self) -> tuple[int, ...]:
        """Levels to try: those of the configuration; of ``auto`` all but 0 that there are."""
        wanted, count = self.config.transport.levels, len(level_channels(self.codec))
        if wanted == "none" or not isinstance(wanted, str):
            return () if wanted == "none" else wanted
        return tuple(range(1 if wanted == "auto" else 0, count))

    def with_levels(self) -> "Way":
        """Return the way whose decoder's activations are moved too, as the configuration says.

        Raises:
            CorpusError: the decoder has no such levels, or no map can be fitted at one.
        """
        config, levels = self.config, self.levels
        count = len(level_channels(self.codec))
        if not count or max(levels, default=0) >= count:
            told = f"levels 0 to {count - 1}" if count else "no levels"
            raise CorpusError(f"its decoder has {told}")
        start, operator = time.perf_counter(), LevelledOperator(latent_part(self.operator), {})
        mapped = self._mapped()
        try:
            with torch.inference_mode():
                for level in levels:
                    operator = fit_level(
                        operator,
                        level,
                        mapped,
                        self.latents[1],
                        self.codec,
                        patch_size=config.transport.level_patch,
                        ridge=config.fit.ridge,
                        fold=config.patches.fold,
                    )
        except ValueError as error:
            raise CorpusError(f"no map can be fitted at level {level}: {error}") from error
        seconds = self.seconds + time.perf_counter() - start
        name = f"{self.name} + levels"
        return replace(self, name=name, operator=operator, seconds=seconds, plain=self.name)

    def _mapped(self) -> list[Tensor]:
        """Return the latents of restored images after their transport."""
        operator, fold = latent_part(self.operator), self.config.patches.fold
        return [
            transport_latents(each, operator, fold=fold, generators=self._draws(str(number)))
            for number, each in enumerate(self.latents[0])
        ]

    def enhanced(self, key: str, pixels: Pixels) -> dict[float, Pixels]:
        """Return an image at every alpha in 8 bits; 1 is the image as it came."""
        with torch.inference_mode():
            transported = transport_images(
                to_tensor([pixels], self.device),
                self.codec,
                self.operator,
                decoding=self.config.enhance.decoding,
                fold=self.config.patches.fold,
                generators=self._draws(key),
            )
            made = at_each(with_low_band(transported, self.config.enhance.low_band), ALPHAS)
        versions = {alpha: to_pixels(one[0]) for alpha, one in zip(ALPHAS, made, strict=True)}
        return versions | {1.0: in_8_bits(pixels)}

    def _draws(self, key: str) -> list[torch.Generator]:
        """Return what the noise of an image is drawn from; nothing without noise."""
        return [generator_of("transport", 0, key)] if self.operator.is_stochastic else []


def in_8_bits(pixels: Pixels) -> Pixels:
    """Return an image (h, w, 3) of any depth as it is shown and measured here."""
    return to_pixels(to_tensor([pixels])[0])


def _latents(images: Sequence[Pixels], codec: TiledCodec, device: str) -> list[Tensor]:
    """Return the latents of images of any sizes, without cells that reach beyond an image."""
    found = []
    with torch.inference_mode():
        for pixels in images:
            image = to_tensor([pixels], device)
            encoded = encode_padded(image, codec)
            found.append(whole_cells(encoded, image.shape[2:], codec.factor))
    return found
