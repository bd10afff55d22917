"""Denoising diffusion restoration models (Kawar et al. 2022): samples of clean images.

A diffusion model that knows nothing of degradations draws images that a degraded image
may come from. The update is done coefficient by coefficient in the spectrum of a linear
degradation, whose singular values say how well each coefficient was measured.

Axes: b images, c channels, h and w height and width of clean images, h2 and w2 of
degraded ones, t steps of the diffusion that the model was trained on. Images are on the
model's scale, which for most is [−1, 1].
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from dot_kernels.spectral_degradations import SpectralDegradation


@runtime_checkable
class EpsilonModel(Protocol):
    """A diffusion model that predicts the noise in √ᾱₜ x + √(1 − ᾱₜ) ε."""

    @property
    def alphas_cumprod(self) -> Float64[Tensor, "t"]:
        """ᾱₜ for each step of its diffusion: falling, between 0 and 1, on the CPU."""

    def __call__(self, noisy: Float[Tensor, "b c h w"], time: int) -> Float[Tensor, "b c h w"]:
        """The predicted ε, from the noisy images of one step of the diffusion, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DdrmOptions:
    """How images are drawn; the defaults are those of the paper.

    ``steps``: calls of the model, spread evenly over the steps of its diffusion.
    ``eta``: how much of the noise of a step is drawn anew, from 0 (none) to 1 (all), for
    coefficients that were not measured or are noisier than the step. ``eta_b``: the weight
    of the measurement, from 0 to 1, for those that are not.
    """

    steps: int = 20
    eta: float = 0.85
    eta_b: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps of DDRM must be at least 1, got {self.steps}")
        for name, value in (("eta", self.eta), ("eta_b", self.eta_b)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} of DDRM must be in [0, 1], got {value}")


def draw_restored(
    degraded: Float[Tensor, "b c h2 w2"],
    degradation: SpectralDegradation,
    noise: float,
    *,
    model: EpsilonModel,
    options: DdrmOptions,
    generators: Sequence[torch.Generator],
) -> Float[Tensor, "b c h w"]:
    """Clean images that may have been degraded to these: Kawar et al. 2022, section 4.

    Noise is drawn pixel by pixel and then taken to the spectrum, so that the result does
    not depend on which singular vectors stand for equal singular values.

    Args:
        degraded: Hx + noise, on the device of the model.
        degradation: H, for the size of the clean images.
        noise: standard deviation of the noise on ``degraded``, on the same scale.
        model: predicts noise; called once a step.
        options: how images are drawn.
        generators: one for each image, on the CPU, which draws all of its noise.

    Raises:
        ValueError: the model's ᾱ do not fall between 0 and 1, or are fewer than the steps,
            or the generators are not one for each image.
    """
    times, sigmas = _schedule(model.alphas_cumprod, options.steps)
    values, measured = degradation.values, degradation.measured(degraded)
    start = _start(values, noise, sigmas[0])
    spectra = start.measured.to(measured) * measured
    spectra.addcmul_(start.drawn.to(measured), _drawn(degradation, measured, generators))
    for time, sigma, following in zip(times, sigmas, sigmas[1:], strict=False):
        step = _step(values, noise, sigma, following, options)
        predicted = _predicted(spectra, degradation, model, time, sigma)
        spectra = step.before.to(spectra) * spectra
        spectra.addcmul_(step.predicted.to(spectra), predicted)
        spectra.addcmul_(step.measured.to(spectra), measured)
        if following > 0:
            spectra.addcmul_(step.drawn.to(spectra), _drawn(degradation, measured, generators))
    return degradation.from_spectrum(spectra)


def _predicted(
    spectra: Float[Tensor, "b c h w"],
    degradation: SpectralDegradation,
    model: EpsilonModel,
    time: int,
    sigma: float,
) -> Float[Tensor, "b c h w"]:
    """The spectra of the clean images that the model sees in noisy ones."""
    images = degradation.from_spectrum(spectra)
    noise = model(images / math.hypot(1, sigma), time)
    return degradation.to_spectrum(torch.sub(images, noise, alpha=sigma))


def _drawn(
    degradation: SpectralDegradation,
    like: Float[Tensor, "b c h w"],
    generators: Sequence[torch.Generator],
) -> Float[Tensor, "b c h w"]:
    """Spectra of white noise of variance 1, drawn for each image by its own generator."""
    if len(generators) != len(like):
        raise ValueError(
            f"generators must be one for each of {len(like)} images, got {len(generators)}"
        )
    drawn = torch.empty(like.shape)
    for one, generator in zip(drawn, generators, strict=True):
        one.normal_(generator=generator)
    return degradation.to_spectrum(drawn.to(like))


def _schedule(alphas_cumprod: Float64[Tensor, "t"], steps: int) -> tuple[list[int], list[float]]:
    """Steps of the diffusion, from the noisiest on, and σ = √(1/ᾱ − 1) of each; then a 0.

    σ is the noise that is added to an image which is not made smaller by √ᾱ.
    """
    alphas = alphas_cumprod.double()
    falling = bool((alphas.diff() < 0).all()) and bool(((alphas > 0) & (alphas < 1)).all())
    if not falling:
        raise ValueError("alphas_cumprod must fall, between 0 and 1, got others")
    if steps > len(alphas):
        raise ValueError(f"steps must be at most the diffusion's {len(alphas)}, got {steps}")
    times = [k * len(alphas) // steps for k in reversed(range(steps))]
    return times, [*((1 / alphas[times] - 1).sqrt().tolist()), 0.0]


class _Weights(NamedTuple):
    """What each coefficient of the next spectra is made of; float64 (h, w) each."""

    before: Float64[Tensor, "h w"]
    """Weight of the coefficient as it was."""
    predicted: Float64[Tensor, "h w"]
    """Weight of that of the clean image which the model predicts."""
    measured: Float64[Tensor, "h w"]
    """Weight of the measurement Uᵀy, which is not divided by the singular value."""
    drawn: Float64[Tensor, "h w"]
    """Weight of noise of variance 1."""


def _start(values: Float64[Tensor, "h w"], noise: float, sigma: float) -> _Weights:
    """The weights of the first spectra: Kawar et al. 2022, section 4.

    A coefficient that is noisier than ``sigma`` starts as one that was not measured; the
    paper supposes that there are none.
    """
    zero = torch.zeros_like(values)
    levels = _measured_noise(values, noise)
    known = (values > 0) & (levels <= sigma)
    return _Weights(
        zero,
        zero,
        torch.where(known, 1 / values, zero),
        torch.where(known, (sigma**2 - levels**2).clamp(min=0).sqrt(), sigma),
    )


def _step(
    values: Float64[Tensor, "h w"],
    noise: float,
    sigma: float,
    following: float,
    options: DdrmOptions,
) -> _Weights:
    """The weights of a step from noise ``sigma`` to ``following``, in the paper's three cases.

    A coefficient was not measured, or is noisier than ``following``, or is not.
    """
    zero, one = torch.zeros_like(values), torch.ones_like(values)
    levels = _measured_noise(values, noise)
    unseen = values == 0
    clear = ~unseen & (following >= levels)
    kept = math.sqrt(1 - options.eta**2) * following
    before = torch.where(unseen, kept / sigma, zero)
    # The measurement's own noise stands for that of the step, scaled: (Uᵀy − s x̄) / noise
    of_noisy = torch.where(unseen | clear, zero, kept / noise if noise > 0 else zero)
    predicted = torch.where(clear, 1 - options.eta_b, one - before - of_noisy * values)
    measured = torch.where(clear, options.eta_b / values, of_noisy)
    fresh = (following**2 - (options.eta_b * levels) ** 2).clamp(min=0).sqrt()
    drawn = torch.where(clear, fresh, options.eta * following)
    return _Weights(before, predicted, measured, drawn)


def _measured_noise(values: Float64[Tensor, "h w"], noise: float) -> Float64[Tensor, "h w"]:
    """Standard deviation of a measured coefficient, noise / s; infinite where s is 0."""
    return torch.where(values > 0, noise / values, math.inf)
