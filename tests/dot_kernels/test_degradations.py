import cv2
import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch.nn import functional
from torch.testing import assert_close
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.functional import gaussian_blur, resize

from dot_kernels.degradations import Downscale, GaussianBlur, Jpeg, Noise, degrade

PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}
"""What Pillow calls the kernels of downscaling."""

REFLECTED = {"mode": "mirror", "axes": (1, 2)}
"""What SciPy calls a reflection about the outermost pixels of height and width."""


def waves(height, width):
    """A smooth colour image, as JPEG likes it."""
    rows = torch.linspace(0, 3, height)[:, None]
    columns = torch.linspace(0, 4, width)
    return torch.stack([(rows * k + columns).sin() * 0.4 + 0.5 for k in (0.5, 0.6, 0.7)])


def resized_by_pillow(image, height, width, kernel="bicubic"):
    planes = [Image.fromarray(plane.numpy()) for plane in image]
    small = [np.array(plane.resize((width, height), PILLOW[kernel])) for plane in planes]
    return torch.from_numpy(np.stack(small))


def blurred_by_scipy(image, step):
    """In float64, without a stride."""
    options = REFLECTED | {"sigma": step.sigma, "radius": step.size // 2}
    return torch.from_numpy(gaussian_filter(image.double().numpy(), **options)).float()


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


def test_noise_of_seed_0_is_drawn_from_the_generator_itself():
    image = waves(8, 8)
    expected = image + 0.1 * torch.randn(image.shape, generator=seed(1))
    for noise in (Noise(sigma=0.1), Noise(sigma=0.1, seed=0)):
        assert torch.equal(degrade(image, [noise], seed(1)), expected)


def test_noise_depends_on_the_seed_and_on_the_generator():
    drawn = [
        degrade(torch.zeros(3, 64, 64), [Noise(sigma=1.0, seed=number)], seed(start))
        for number, start in [(0, 1), (1, 1), (2, 1), (-1, 1), (1, 2), (2, 2)]
    ]
    again = degrade(torch.zeros(3, 64, 64), [Noise(sigma=1.0, seed=2)], seed(2))
    assert torch.equal(drawn[-1], again)
    correlations = torch.corrcoef(torch.stack(drawn).flatten(1)).fill_diagonal_(0)
    assert correlations.abs().max().item() < 5 / 12_288**0.5  # five standard errors


def test_two_noises_of_one_seed_are_independent(rng):
    steps = [Noise(sigma=0.3, seed=7), Noise(sigma=0.4, seed=7)]
    twice = degrade(torch.zeros(3, 200, 200), steps, rng)
    assert twice.std().item() == pytest.approx(0.5, rel=5 / (2 * 120_000) ** 0.5)


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


def test_downscaling_is_by_default_torchs_bicubic_interpolation_to_the_last_bit(rng):
    image = torch.rand(3, 24, 36, generator=rng)
    expected = functional.interpolate(image[None], (6, 9), mode="bicubic", antialias=True)[0]
    assert torch.equal(degrade(image, [Downscale(factor=4)], rng), expected)


@pytest.mark.parametrize("kernel", PILLOW)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_every_kernel_of_downscaling_is_that_of_pillow(rng, kernel, factor):
    image = torch.rand(3, 24, 36, generator=rng)
    reduced = degrade(image, [Downscale(factor=factor, kernel=kernel)], rng)
    # float32 on both sides
    assert_close(reduced, resized_by_pillow(image, 24 // factor, 36 // factor, kernel))


def test_bilinear_downscaling_is_the_antialiased_resize_of_torchvision(rng):
    """By which the authors of the paper reduce their images."""
    image = torch.rand(3, 24, 36, generator=rng)
    reduced = degrade(image, [Downscale(factor=4, kernel="bilinear")], rng)
    assert_close(reduced, resize(image, [6, 9], antialias=True), rtol=0, atol=0)


def test_downscaling_by_area_is_that_of_torch_and_of_block_means(rng):
    image = torch.rand(3, 24, 36, generator=rng)
    reduced = degrade(image, [Downscale(factor=3, kernel="area")], rng)
    assert_close(reduced, functional.interpolate(image[None], (8, 12), mode="area")[0])
    assert_close(reduced, image.view(3, 8, 3, 12, 3).mean((2, 4)))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downscaling_by_area_is_that_of_opencv(rng, factor):
    """Its bicubic and bilinear resizing has no anti-aliasing, and is another operation."""
    image = torch.rand(3, 24, 36, generator=rng)
    reduced = degrade(image, [Downscale(factor=factor, kernel="area")], rng)
    size = (36 // factor, 24 // factor)
    pixels = image.movedim(0, -1).contiguous().numpy()
    expected = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    assert_close(reduced, torch.from_numpy(expected).movedim(-1, 0))


@pytest.mark.parametrize("kernel", PILLOW)
def test_rounding_clips_to_black_and_white_and_rounds_to_8_bits(rng, kernel):
    image = (torch.rand(3, 24, 36, generator=rng) > 0.5).float()
    plain, rounded = (
        degrade(image, [Downscale(factor=2, kernel=kernel, rounding=rounding)], rng)
        for rounding in (False, True)
    )
    overshoots = kernel == "bicubic"
    assert (plain.min().item() < 0, plain.max().item() > 1) == (overshoots, overshoots)
    assert_close(rounded, (plain * 255).round().clamp(0, 255) / 255, rtol=0, atol=0)


@pytest.mark.parametrize("kernel", PILLOW)
def test_rounding_gives_what_pillow_makes_of_a_file_of_8_bits(rng, kernel):
    pixels = torch.randint(64, 192, (24, 36, 3), generator=rng, dtype=torch.uint8)
    small = Image.fromarray(pixels.numpy()).resize((9, 6), PILLOW[kernel])
    expected = torch.from_numpy(np.array(small)).movedim(-1, 0)
    step = Downscale(factor=4, kernel=kernel, rounding=True)
    rounded = degrade(pixels.movedim(-1, 0) / 255, [step], rng)
    # Pillow rounds to 8 bits after the first of its two passes too
    assert_close((rounded * 255).round(), expected.float(), rtol=0, atol=1)


@pytest.mark.parametrize("kernel", PILLOW)
def test_downscaling_keeps_a_flat_image_flat(rng, kernel):
    reduced = degrade(torch.full((3, 32, 48), 0.3), [Downscale(factor=16, kernel=kernel)], rng)
    assert_close(reduced, torch.full((3, 2, 3), 0.3))


@pytest.mark.parametrize(("height", "width"), [(9, 12), (12, 9)])
def test_sides_that_the_factor_does_not_divide_are_refused(rng, height, width):
    with pytest.raises(ValueError, match=f"multiples of 4, got {height}×{width}"):
        degrade(torch.zeros(3, height, width), [Downscale(factor=4)], rng)


@pytest.mark.parametrize("factor", [-2, 1, 17])
def test_a_downscaling_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match=f"must be in 2..16, got {factor}"):
        Downscale(factor=factor)


# Gaussian blur


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.5), (5, 1.6), (13, 2.0), (21, 30.0)])
def test_a_gaussian_blur_is_that_of_scipy_and_of_torchvision(rng, size, sigma):
    """Pillow's is none: it repeats box filters, and has no size."""
    image, step = torch.rand(3, 24, 36, generator=rng), GaussianBlur(size=size, sigma=sigma)
    blurred = degrade(image, [step], rng)
    assert_close(blurred, blurred_by_scipy(image, step))
    assert_close(blurred, gaussian_blur(image, [size, size], [sigma, sigma]))


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.5), (5, 1.6), (13, 2.0)])
def test_a_gaussian_blur_is_that_of_opencv(rng, size, sigma):
    image = torch.rand(3, 24, 36, generator=rng)
    expected = cv2.GaussianBlur(
        image.movedim(0, -1).contiguous().numpy(),
        (size, size),
        sigma,
        borderType=cv2.BORDER_REFLECT_101,
    )
    blurred = degrade(image, [GaussianBlur(size=size, sigma=sigma)], rng)
    assert_close(blurred, torch.from_numpy(expected).movedim(-1, 0))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (2, 3), (4, 4)])
def test_images_smaller_than_the_kernel_are_reflected_again_and_again(rng, height, width):
    image, step = torch.rand(3, height, width, generator=rng), GaussianBlur(size=21, sigma=4.0)
    assert_close(degrade(image, [step], rng), blurred_by_scipy(image, step))


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_stride_keeps_the_first_of_so_many_pixels(rng, stride):
    image = torch.rand(3, 24, 36, generator=rng)
    whole, kept = (
        degrade(image, [GaussianBlur(size=7, sigma=1.2, stride=each)], rng) for each in (1, stride)
    )
    assert_close(kept, whole[:, ::stride, ::stride])


def test_a_blur_of_one_weight_keeps_pixels_as_they_are(rng):
    image = torch.rand(3, 8, 12, generator=rng)
    kept = degrade(image, [GaussianBlur(size=1, sigma=3.0, stride=4)], rng)
    assert torch.equal(kept, image[:, ::4, ::4])


def test_a_blur_averages_the_noise_of_its_image_but_no_flat_image(rng):
    assert_close(
        degrade(torch.full((3, 9, 9), 0.3), [GaussianBlur(size=5, sigma=1.0)], rng),
        torch.full((3, 9, 9), 0.3),
    )
    steps = [Noise(sigma=0.2), GaussianBlur(size=13, sigma=2.0)]
    left = degrade(torch.zeros(3, 200, 200), steps, rng).std().item()
    # of white noise, a Gaussian keeps 1 / (2 √π sigma); about 5,000 values are independent
    assert left == pytest.approx(0.2 / (4 * np.pi**0.5), rel=5 / 10_000**0.5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 0}, r"size .* must be in 1..256 pixels, got 0"),
        ({"size": -3}, r"size .* must be in 1..256 pixels, got -3"),
        ({"size": 257}, r"size .* must be in 1..256 pixels, got 257"),
        ({"sigma": 0.0}, r"sigma .* must be above 0 pixels, got 0.0"),
        ({"sigma": float("nan")}, r"sigma .* must be above 0 pixels, got nan"),
        ({"sigma": float("inf")}, r"sigma .* must be above 0 pixels, got inf"),
        ({"stride": 0}, r"stride .* must be in 1..16, got 0"),
        ({"stride": 17}, r"stride .* must be in 1..16, got 17"),
    ],
)
def test_a_gaussian_blur_out_of_range_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        GaussianBlur(**({"size": 5, "sigma": 1.0} | options))


def test_sides_that_a_stride_does_not_divide_are_refused(rng):
    with pytest.raises(ValueError, match="multiples of 4, got 8×10"):
        degrade(torch.zeros(3, 8, 10), [GaussianBlur(size=3, sigma=1.0, stride=4)], rng)


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
    steps = [Noise(sigma=0.1), Jpeg(quality=50), Downscale(factor=2, rounding=True)]
    degrade(image, [*steps, GaussianBlur(size=3, sigma=1.0)], rng)
    assert torch.equal(image, waves(16, 16))


@pytest.mark.parametrize(("size", "stride"), [(2, 1), (16, 4)])
def test_a_blur_of_even_size_leaves_borders_out(rng, size, stride):
    image = torch.rand(3, 28, 40, generator=rng)
    found = degrade(image, [GaussianBlur(size=size, sigma=2.0, stride=stride)], rng)
    taps = torch.exp(-(((torch.arange(size) - (size - 1) / 2) / 2.0) ** 2) / 2)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    expected = functional.conv2d(image[:, None], kernel[None, None], stride=stride)[:, 0]
    assert_close(found, expected)


@pytest.mark.parametrize("sides", [(12, 28), (28, 30)])
def test_sides_that_a_blur_of_even_size_does_not_fit_are_refused(rng, sides):
    image, step = torch.rand(3, *sides, generator=rng), GaussianBlur(size=16, sigma=2.0, stride=4)
    with pytest.raises(ValueError, match=r"must be 16 or longer by multiples of 4, got .*×"):
        degrade(image, [step], rng)
