"""Codecs tried on a few images: what each makes of restored images, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dot_kernels import Codec, GaussianMoments, gelbrich_distance
from dot_kernels.metrics import distortion_of_written, peak_signal_to_noise_ratio
from tasks.direct.codec_images import TrialImages
from tasks.direct.codec_way import ALPHAS, Way, in_8_bits
from tasks.direct.costs import Meter
from tasks.direct.judges import Judges
from tasks.io.images import Pixels
from tasks.io.images.pixels import as_levels

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
    fit: float = 0.0
    """Seconds that the fit took."""
    plain: str | None = None
    """Of a trial with levels, the name of that without; None of others."""


def tried(way: Way, images: TrialImages, judges: Judges, show: int) -> Trial:
    """Return what a codec makes of images: fitted on some, tried on others.

    Args:
        way: of an image through the codec.
        images: to enhance.
        judges: metrics with networks.
        show: how many of the enhanced images are kept to look at.
    """
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
    return Trial(
        name=way.name,
        at=at,
        shown=shown,
        seconds=seconds,
        memory=memory,
        weights=_size_of(codec.codec),
        factor=codec.factor,
        channels=codec.channels,
        fit=way.seconds,
        plain=way.plain,
    )


def _size_of(codec: Codec) -> int:
    """Return how many bytes the numbers of a codec's network take."""
    module = getattr(codec, "module", None)
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


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
