"""DDRM with a Gaussian prior, under which everything can be computed apart.

The noise that the model predicts is then a linear function of the image, and each
coefficient of a spectrum goes its own way: a scalar recursion.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dot_kernels.ddrm import DdrmOptions, draw_restored
from dot_kernels.degradations import Downscale, GaussianBlur, Noise, degrade
from dot_kernels.linear_degradations import spectral_degradation
from dot_kernels.restorers import draw_by_ddrm
from dot_kernels.spectral_degradations import Separable

HEIGHT, WIDTH = 4, 8
MEAN, SPREAD = 0.3, 0.5
"""Of each coefficient of the prior: MEAN times a fixed pattern, and standard deviations from
SPREAD up."""
ALPHAS = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
DEGRADATIONS = {
    "identity": [],
    "block mean": [Downscale(factor=4, kernel="area")],
    "bicubic": [Downscale(factor=2)],
    "blur": [GaussianBlur(size=5, sigma=1.2)],
    "stride": [GaussianBlur(size=5, sigma=0.8, stride=2)],
}
EACH = pytest.mark.parametrize("chain", DEGRADATIONS.values(), ids=DEGRADATIONS)


@dataclass
class GaussianModel:
    """The ε of a diffusion of images whose coefficients in some spectrum are independent."""

    degradation: object
    mean: Tensor
    spread: Tensor
    alphas_cumprod: Tensor

    def __call__(self, noisy, time):
        alpha = self.alphas_cumprod[time]
        observed = self.degradation.to_spectrum(noisy.double())
        # x | √ᾱ x + √(1 − ᾱ) ε, both Gaussian
        gain = alpha.sqrt() * self.spread**2 / (alpha * self.spread**2 + 1 - alpha)
        clean = self.mean + gain * (observed - alpha.sqrt() * self.mean)
        epsilon = (observed - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return self.degradation.from_spectrum(epsilon).to(noisy)


def gaussian(chain, size=(HEIGHT, WIDTH), alphas=ALPHAS):
    degradation = spectral_degradation(chain, *size)
    k = torch.arange(size[0] * size[1], dtype=torch.float64).reshape(size)
    return degradation, GaussianModel(degradation, MEAN * k.cos(), SPREAD + 0.1 * (k % 5), alphas)


def scalar(value, measured, noise, prior, options, draws, alphas=ALPHAS):
    """One coefficient's way, written out from the paper in plain numbers.

    ``draws`` multiplies the noise of each step, or, if it is None, the mean and the variance
    of the coefficient are returned instead of a draw.
    """
    mean, spread = prior
    times = [k * len(alphas) // options.steps for k in range(options.steps)][::-1]
    sigmas = [math.sqrt((1 - float(alphas[t])) / float(alphas[t])) for t in times]
    known = value > 0
    ybar = measured / value if known else None
    level = noise / value if known else None
    if known and sigmas[0] >= level:
        x, deviation = ybar, math.sqrt(sigmas[0] ** 2 - level**2)
    else:
        x, deviation = 0.0, sigmas[0]
    x, variance = x + deviation * (draws[0] if draws is not None else 0), deviation**2
    cases = set()
    for number, (sigma, following) in enumerate(zip(sigmas, [*sigmas[1:], 0.0], strict=True), 1):
        shrink = spread**2 / (spread**2 + sigma**2)
        clean, slope = mean + shrink * (x - mean), shrink
        rest = math.sqrt(1 - options.eta**2)
        if not known:
            cases.add("unseen")
            factor = slope + rest * following / sigma * (1 - slope)
            x = clean + rest * following * (x - clean) / sigma
            deviation = options.eta * following
        elif following < level:
            cases.add("noisier")
            factor = slope * (1 - rest * following / level)
            x = clean + rest * following * (ybar - clean) / level
            deviation = options.eta * following
        else:
            cases.add("clearer")
            factor = slope * (1 - options.eta_b)
            x = (1 - options.eta_b) * clean + options.eta_b * ybar
            deviation = math.sqrt(following**2 - (options.eta_b * level) ** 2)
        if draws is not None and following > 0:
            x += deviation * draws[number]
        variance = factor**2 * variance + deviation**2
    return x, variance, cases


def seeded(count, start=0):
    return [torch.Generator().manual_seed(start + k) for k in range(count)]


def noises(degradation, count, steps, size=(HEIGHT, WIDTH), start=0):
    """The spectra of all noise that the generators will give, (image, step, channel, h, w)."""
    found = [
        torch.stack([torch.randn(3, *size, generator=generator) for _ in range(steps)])
        for generator in seeded(count, start)
    ]
    return torch.stack([degradation.to_spectrum(one.double()) for one in found])


@EACH
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.7, 400.0])
@pytest.mark.parametrize("options", [{}, {"eta": 0.3, "eta_b": 0.6}, {"steps": 7}])
def test_each_coefficient_goes_the_way_of_the_paper(rng, chain, noise, options):
    degradation, model = gaussian(chain)
    options = DdrmOptions(**options)
    truth = torch.randn(1, 3, HEIGHT, WIDTH, generator=rng)
    degraded = degradation.degrade(truth)
    degraded = degraded + noise * torch.randn(degraded.shape, generator=rng)
    found = draw_restored(
        degraded, degradation, noise, model=model, options=options, generators=seeded(1)
    )
    spectrum = degradation.to_spectrum(found.double())[0, 0]
    measured = degradation.measured(degraded.double())[0, 0]
    drawn = noises(degradation, 1, options.steps)[0, :, 0]
    expected = torch.zeros_like(spectrum)
    for i in range(HEIGHT):
        for j in range(WIDTH):
            prior = float(model.mean[i, j]), float(model.spread[i, j])
            given = float(degradation.values[i, j]), float(measured[i, j])
            expected[i, j], _, _ = scalar(*given, noise, prior, options, drawn[:, i, j].tolist())
    # float32 beside float64, where σ begins at 157 and a measurement is divided by up to 10⁻²
    assert_close(spectrum, expected, rtol=1e-3, atol=2e-3)


@EACH
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_mean_and_variance_follow_the_recursion(rng, chain, noise):
    degradation, model = gaussian(chain)
    count, options = 2000, DdrmOptions()
    truth = torch.randn(1, 3, HEIGHT, WIDTH, generator=rng)
    degraded = degradation.degrade(truth)
    degraded = degraded + noise * torch.randn(degraded.shape, generator=rng)
    found = draw_restored(
        degraded.expand(count, -1, -1, -1).contiguous(),
        degradation,
        noise,
        model=model,
        options=options,
        generators=seeded(count),
    )
    spectra = degradation.to_spectrum(found.double())[:, 0]
    measured = degradation.measured(degraded.double())[0, 0]
    for i in range(HEIGHT):
        for j in range(WIDTH):
            prior = float(model.mean[i, j]), float(model.spread[i, j])
            given = float(degradation.values[i, j]), float(measured[i, j])
            mean, variance, _ = scalar(*given, noise, prior, options, None)
            error = math.sqrt(variance / count)
            assert spectra[:, i, j].mean().item() == pytest.approx(
                mean, abs=5 * error + 1e-3
            )  # as above
            # the standard error of a variance of 2000 Gaussians is 3.2 %; five of them
            assert spectra[:, i, j].var().item() == pytest.approx(variance, rel=0.16, abs=1e-5)


def test_all_three_cases_of_the_paper_are_met():
    def cases(value, noise):
        return scalar(value, 0.1, noise, (MEAN, SPREAD), DdrmOptions(), None)[2]

    assert cases(0.0, 0.3) == {"unseen"}
    assert cases(0.7, 0.3) == {"noisier", "clearer"}
    assert cases(0.7, 0.0) == {"clearer"}
    assert cases(0.001, 0.5) == {"noisier"}  # noisier than the first step
    blurred, _ = gaussian(DEGRADATIONS["blur"])
    assert 0 < float(blurred.values[blurred.values > 0].min()) < 0.01
    assert not gaussian(DEGRADATIONS["block mean"])[0].values.all()


@EACH
def test_what_was_measured_without_noise_is_kept(rng, chain):
    degradation, model = gaussian(chain)
    truth = torch.rand(2, 3, HEIGHT, WIDTH, generator=rng)
    degraded = degradation.degrade(truth)
    found = draw_restored(
        degraded, degradation, 0.0, model=model, options=DdrmOptions(), generators=seeded(2)
    )
    assert_close(degradation.degrade(found), degraded, rtol=0, atol=1e-4)


def test_images_between_0_and_1_are_drawn_on_the_scale_of_the_model(rng):
    steps = [Downscale(factor=4, kernel="area"), Noise(sigma=0.1)]
    degradation, model = gaussian(steps)
    degraded = degrade(torch.rand(3, HEIGHT, WIDTH, generator=rng), steps, rng)[None]
    draw = {"model": model, "options": DdrmOptions()}
    found = draw_by_ddrm(degraded, steps, **draw, generators=seeded(1))
    scaled = draw_restored(2 * degraded - 1, degradation, 0.2, **draw, generators=seeded(1))
    assert_close(found, ((scaled + 1) / 2).clamp(0, 1))
    assert found.shape == (1, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("size", [(4, 12), (12, 4), (8, 8)])
def test_a_result_does_not_depend_on_how_a_degradation_is_decomposed(rng, size):
    block, model = gaussian(DEGRADATIONS["block mean"], size)
    pair = Separable(*(torch.eye(n, dtype=torch.float64).reshape(-1, 4, n).mean(1) for n in size))
    degraded = block.degrade(torch.rand(2, 3, *size, generator=rng))
    found = [
        draw_restored(degraded, each, 0.1, model=model, options=DdrmOptions(), generators=seeded(2))
        for each in (block, pair)
    ]
    assert_close(*found, rtol=1e-4, atol=1e-4)


def test_the_other_images_of_a_batch_change_nothing(rng):
    degradation, model = gaussian(DEGRADATIONS["stride"])
    degraded = degradation.degrade(torch.rand(5, 3, HEIGHT, WIDTH, generator=rng))
    draw = {"model": model, "options": DdrmOptions()}
    whole = draw_restored(degraded, degradation, 0.1, **draw, generators=seeded(5))
    for k in range(5):
        alone = draw_restored(
            degraded[k : k + 1], degradation, 0.1, **draw, generators=seeded(1, start=k)
        )
        assert_close(alone[0], whole[k], rtol=1e-5, atol=1e-5)
    assert not torch.equal(whole[0], whole[1])


def test_steps_are_spread_over_the_diffusion_from_its_first():
    degradation, model = gaussian([])
    asked = []

    class Listening(GaussianModel):
        def __call__(self, noisy, time):
            asked.append(time)
            return super().__call__(noisy, time)

    listening = Listening(**vars(model))
    degraded = torch.zeros(1, 3, HEIGHT, WIDTH)
    for steps in (20, 3):
        draw_restored(
            degraded,
            degradation,
            0.1,
            model=listening,
            options=DdrmOptions(steps=steps),
            generators=seeded(1),
        )
    assert asked == [*range(950, -1, -50), 666, 333, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps of DDRM must be at least 1, got 0"),
        ({"eta": 1.1}, r"eta of DDRM must be in \[0, 1\], got 1.1"),
        ({"eta_b": -0.1}, r"eta_b of DDRM must be in \[0, 1\], got -0.1"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        DdrmOptions(**options)


@pytest.mark.parametrize(
    ("alphas", "steps", "generators", "said"),
    [
        (ALPHAS.flip(0), 20, 1, "alphas_cumprod must fall, between 0 and 1"),
        (ALPHAS * 0, 20, 1, "alphas_cumprod must fall, between 0 and 1"),
        (ALPHAS[:10], 20, 1, "steps must be at most the diffusion's 10, got 20"),
        (ALPHAS, 20, 2, "one for each of 1 images, got 2"),
    ],
)
def test_a_schedule_or_generators_that_do_not_fit_are_refused(alphas, steps, generators, said):
    degradation, model = gaussian([], alphas=alphas)
    with pytest.raises(ValueError, match=said):
        draw_restored(
            torch.zeros(1, 3, HEIGHT, WIDTH),
            degradation,
            0.1,
            model=model,
            options=DdrmOptions(steps=steps),
            generators=seeded(generators),
        )
