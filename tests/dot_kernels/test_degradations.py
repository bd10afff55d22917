import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from PIL import Image
from torch.testing import assert_close
from torchvision.io import decode_jpeg, encode_jpeg

from dot_kernels.degradations import Downscale, Jpeg, Noise, degrade, total_downscaling


def waves(height, width):
    """A smooth colour image, as JPEG likes it."""
    rows = torch.linspace(0, 3, height)[:, None]
    columns = torch.linspace(0, 4, width)
    return torch.stack([(rows * k + columns).sin() * 0.4 + 0.5 for k in (0.5, 0.6, 0.7)])


def resized_by_pillow(image, height, width):
    return torch.stack(
        [
            torch.from_numpy(
                np.array(Image.fromarray(plane.numpy()).resize((width, height), Image.BICUBIC))
            )
            for plane in image
        ]
    )


def seed(number):
    return torch.Generator().manual_seed(number)


# Noise


def test_noise_has_its_standard_deviation_and_is_not_clipped(rng):
    image = torch.full((3, 200, 200), 0.95)
    noise = degrade(image, [Noise(sigma=0.2)], rng) - image
    error = 0.2 / 120_000**0.5
    assert noise.mean().item() == pytest.approx(0, abs=5 * error)
    assert noise.std().item() == pytest.approx(0.2, abs=5 * error)
    assert (noise + image > 1).float().mean() > 0.35  # 40 % lie above white


def test_noise_is_white(rng):
    noise = degrade(torch.zeros(3, 200, 200), [Noise(sigma=1.0)], rng)
    for shift in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        correlation = (noise * noise.roll(shift, dims=(0, 1, 2))).mean().item()
        assert correlation == pytest.approx(0, abs=5 / 120_000**0.5)  # five standard errors


def test_noise_depends_on_its_generator_alone():
    first, again, other = (
        degrade(waves(8, 8), [Noise(sigma=0.1)], seed(number)) for number in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.1


def test_noise_scales_with_sigma_from_nothing():
    image = waves(8, 8)
    assert torch.equal(degrade(image, [Noise(sigma=0.0)], seed(1)), image)
    weak, strong = (degrade(image, [Noise(sigma=s)], seed(1)) - image for s in (0.1, 0.3))
    assert_close(strong, 3 * weak)


@pytest.mark.parametrize("sigma", [-0.1, 25.0, float("nan")])
def test_a_sigma_of_the_wrong_scale_is_refused(sigma):
    with pytest.raises(ValueError, match=rf"on the \[0, 1\] scale, got {sigma}"):
        Noise(sigma=sigma)


# Downscale


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downscaling_is_the_bicubic_reduction_of_pillow(rng, factor):
    image = torch.rand(3, 24, 36, generator=rng)
    reduced = degrade(image, [Downscale(factor=factor)], rng)
    assert_close(reduced, resized_by_pillow(image, 24 // factor, 36 // factor))


def test_downscaling_keeps_a_flat_image_flat(rng):
    reduced = degrade(torch.full((3, 32, 48), 0.3), [Downscale(factor=16)], rng)
    assert_close(reduced, torch.full((3, 2, 3), 0.3))


@pytest.mark.parametrize(("height", "width"), [(9, 12), (12, 9)])
def test_sides_that_the_factor_does_not_divide_are_refused(rng, height, width):
    with pytest.raises(ValueError, match=f"multiples of 4, got {height}×{width}"):
        degrade(torch.zeros(3, height, width), [Downscale(factor=4)], rng)


@pytest.mark.parametrize("factor", [-2, 1, 17])
def test_a_downscaling_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=f"must be in 2..16, got {factor}"):
        Downscale(factor=factor)


# Jpeg


def test_jpeg_of_the_best_quality_is_close_to_the_image(rng):
    image = waves(32, 48)
    coded = degrade(image, [Jpeg(quality=100)], rng)
    assert_close(coded, image, rtol=0, atol=4 / 255)  # colours have half the resolution


@pytest.mark.filterwarnings(
    # torchvision deprecates its JPEG coder; as a second opinion it serves while it is there
    "ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning"
)
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_jpeg_is_that_of_torchvision(rng, quality):
    image = waves(32, 48)
    coded = encode_jpeg((image * 255).round().byte(), quality=quality)
    expected = decode_jpeg(coded) / 255
    actual = degrade(image, [Jpeg(quality=quality)], rng)
    assert_close(actual, expected, rtol=0, atol=2 / 255)  # two builds of libjpeg


@pytest.mark.parametrize("wrong", ["noise", None])
def test_what_is_no_degradation_is_refused(rng, wrong):
    with pytest.raises((TypeError, TypeCheckError), match="degradation"):
        degrade(waves(16, 16), [wrong], rng)


def test_a_lower_jpeg_quality_costs_more(rng):
    image = waves(32, 48)
    errors = [(degrade(image, [Jpeg(quality=q)], rng) - image).square().mean() for q in (90, 30, 5)]
    assert errors == sorted(errors)
    assert errors[0] < errors[2]


def test_jpeg_clips_what_it_cannot_hold(rng):
    image = torch.stack([torch.full((16, 16), value) for value in (-0.5, 0.5, 1.5)])
    coded, clipped = (degrade(x, [Jpeg(quality=95)], rng) for x in (image, image.clamp(0, 1)))
    assert torch.equal(coded, clipped)


@pytest.mark.parametrize("quality", [0, 101])
def test_a_jpeg_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match=rf"must be in 1..100, got {quality}"):
        Jpeg(quality=quality)


# One after the other


def test_no_degradation_gives_the_image_back(rng):
    image = waves(8, 8)
    assert torch.equal(degrade(image, [], rng), image)


def test_degradations_act_in_their_order():
    image, steps = waves(16, 16), [Downscale(factor=2), Noise(sigma=0.1)]
    reduced = degrade(image, steps[:1], seed(3))
    assert torch.equal(degrade(image, steps, seed(3)), degrade(reduced, steps[1:], seed(3)))
    before, after = (degrade(image, order, seed(3)) for order in (steps[::-1], steps))
    spread = [(noisy - reduced).std().item() for noisy in (before, after)]
    assert spread[0] < spread[1] / 1.4  # reduction averages the noise that was there before


def test_two_noises_are_independent(rng):
    twice = degrade(torch.zeros(3, 200, 200), [Noise(sigma=0.3), Noise(sigma=0.4)], rng)
    assert twice.std().item() == pytest.approx(0.5, rel=5 / (2 * 120_000) ** 0.5)


def test_degrading_leaves_the_image_as_it_was(rng):
    image = waves(16, 16)
    degrade(image, [Noise(sigma=0.1), Jpeg(quality=50), Downscale(factor=2)], rng)
    assert torch.equal(image, waves(16, 16))


def test_total_downscaling_is_the_product_of_the_factors():
    assert total_downscaling([]) == 1
    assert total_downscaling([Noise(sigma=0.1), Jpeg(quality=10)]) == 1
    assert total_downscaling([Downscale(factor=2), Noise(sigma=0.1), Downscale(factor=3)]) == 6
