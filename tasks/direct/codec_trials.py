"""Codecs tried on a few images: what each makes of restored images, and what that costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dot_kernels import (
    Codec,
    GaussianMoments,
    TiledCodec,
    gelbrich_distance,
    patch_moments,
    solve_transport,
    transport_images,
)
from dot_kernels.dials import with_low_band
from dot_kernels.enhancement import at_each, encode_padded, whole_cells
from dot_kernels.metrics import distortion_of_written, peak_signal_to_noise_ratio
from dot_kernels.moments import merge
from dot_kernels.transport import TransportOperator
from tasks.config import Config
from tasks.direct.codec_images import TrialImages
from tasks.direct.costs import Meter
from tasks.direct.judges import Judges
from tasks.io.draws import generator_of
from tasks.io.errors import CorpusError
from tasks.io.images import Pixels
from tasks.io.images.pixels import as_levels, to_pixels, to_tensor
from tasks.io.machine.devices import pick_device
from tasks.io.networks.codecs import CodecSpec, Pixel, load_codec
from tasks.io.networks.weights import Weights

ALPHAS = (0.0, 0.25, 0.5, 0.75)
"""At which images are enhanced."""

ENOUGH = 50
"""Images from which on a Fréchet distance is told: of fewer it is mostly that of the sample."""


@dataclass
class Measured:
    """The images of one alpha, measured: a number for each of the images that are enhanced."""

    psnr: list[float] = field(default_factory=list)
    """In dB, against the ground truth."""
    lpips: list[float] = field(default_factory=list)
    """Against the ground truth; empty without LPIPS."""
    change: list[float] = field(default_factory=list)
    """PSNR in dB against the restored image: how far it was changed."""
    frechet: float | None = None
    """Distance of features from those of ground truth or natural images; None of too few."""


@dataclass
class Trial:
    """What a codec made of the images, and what it costs."""

    name: str
    at: dict[float, Measured]
    """By alpha; 1 is the restored image as it came."""
    shown: dict[str, dict[float, Pixels]]
    """Some images by key and alpha, to look at."""
    seconds: float
    """For one image: encoded, moved, decoded twice."""
    memory: int | None
    """Bytes that this takes at most, beside the network; None where it is not known."""
    weights: int
    """Bytes of the network."""
    factor: int
    channels: int


def tried(
    name: str, spec: CodecSpec, images: TrialImages, config: Config, judges: Judges, show: int
) -> Trial:
    """Return what a codec makes of images: fitted on some, tried on others.

    Args:
        name: of the codec.
        spec: how it is loaded.
        images: to fit on, and to enhance.
        config: of the user: precision, device, tile, patches, decoding, dials and ridge are taken
            from it.
        judges: metrics with networks.
        show: how many of the enhanced images are kept to look at.

    Raises:
        WeightsMissing: those of the codec cannot be had.
        CorpusError: no transport can be fitted to so few or small images.
    """
    way = _Way.fitted(name, spec, images, config)
    at = {alpha: Measured() for alpha in (*ALPHAS, 1.0)}
    shown, costs = dict[str, dict[float, Pixels]](), list[Meter]()
    features: dict[float, list[Tensor]] = {alpha: [] for alpha in at}
    for key, pixels in images.held.items():
        with Meter(way.device) as meter:
            made = way.enhanced(key, pixels)
        costs.append(meter)
        for alpha, one in made.items():
            _measure(at[alpha], one, pixels, images.truths.get(key), judges)
            features[alpha] += judges.features(one)
        if len(shown) < show:
            shown[key] = made
    aims = [f for each in (images.truths.values() or images.natural) for f in judges.features(each)]
    for alpha, found in features.items():
        at[alpha].frechet = _frechet(found, aims)
    seconds = sorted(meter.seconds for meter in costs)[len(costs) // 2]
    memory = max((meter.bytes for meter in costs if meter.bytes is not None), default=None)
    codec = way.codec
    weights = _size_of(codec.codec)
    return Trial(name, at, shown, seconds, memory, weights, codec.factor, codec.channels)


@dataclass(frozen=True)
class _Way:
    """The way of an image through a codec and its operator."""

    codec: TiledCodec
    operator: TransportOperator
    config: Config
    device: str

    @classmethod
    def fitted(cls, name: str, spec: CodecSpec, images: TrialImages, config: Config) -> "_Way":
        """Return the way of a codec, whose operator is fitted; see ``tried``."""
        device = pick_device(config.compute.device)
        loaded = load_codec(spec, device, config.compute.precision, Weights.of(config.weights))
        codec = TiledCodec(loaded, config.compute.tile)
        size = config.patches.size or (1 if isinstance(spec, Pixel) else 3)
        try:
            source, target = (
                _moments(pixels, codec, size, device) for pixels in (images.fitted, images.natural)
            )
            operator = solve_transport(source, target, ridge=config.fit.ridge)
        except ValueError as error:
            raise CorpusError(f"no transport can be fitted with {name}: {error}") from error
        return cls(codec, operator, config, device)

    def enhanced(self, key: str, pixels: Pixels) -> dict[float, Pixels]:
        """Return an image at every alpha in 8 bits; 1 is the image as it came."""
        draws = [generator_of("transport", 0, key)] if self.operator.is_stochastic else []
        with torch.inference_mode():
            transported = transport_images(
                to_tensor([pixels], self.device),
                self.codec,
                self.operator,
                decoding=self.config.enhance.decoding,
                fold=self.config.patches.fold,
                generators=draws,
            )
            made = at_each(with_low_band(transported, self.config.enhance.low_band), ALPHAS)
        versions = {alpha: to_pixels(one[0]) for alpha, one in zip(ALPHAS, made, strict=True)}
        return versions | {1.0: in_8_bits(pixels)}


def in_8_bits(pixels: Pixels) -> Pixels:
    """Return an image (h, w, 3) of any depth as it is shown and measured here."""
    return to_pixels(to_tensor([pixels])[0])


def _size_of(codec: Codec) -> int:
    """Return how many bytes the numbers of a codec's network take."""
    module = getattr(codec, "module", None)
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _moments(
    images: Sequence[Pixels], codec: TiledCodec, size: int, device: str
) -> GaussianMoments:
    """Return the moments of the latent patches of images of any sizes."""

    def each() -> Iterator[GaussianMoments]:
        for pixels in images:
            image = to_tensor([pixels], device)
            latents = whole_cells(encode_padded(image, codec), image.shape[2:], codec.factor)
            yield patch_moments(latents, size)

    with torch.inference_mode():
        return merge(each())


def _measure(
    found: Measured, made: Pixels, came: Pixels, truth: Pixels | None, judges: Judges
) -> None:
    """Add what an image is worth to what is known of others."""
    found.change.append(_psnr(made, in_8_bits(came)))
    if truth is not None:
        aim = in_8_bits(truth)
        found.psnr.append(_psnr(made, aim))
        found.lpips += judges.lpips(made, aim)


def _psnr(ours: Pixels, theirs: Pixels) -> float:
    return peak_signal_to_noise_ratio(distortion_of_written(as_levels(ours), as_levels(theirs))[0])


def _frechet(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float | None:
    """Return the Fréchet distance of two sets of features; None of too few."""
    if min(len(ours), len(theirs)) < ENOUGH:
        return None
    moments = [GaussianMoments.of(torch.stack(list(each))) for each in (ours, theirs)]
    return float(gelbrich_distance(*moments))
