import math

import numpy as np
import pytest
import skimage.metrics
import torch
from torch.nn import functional

from dot_kernels.metrics import (
    distortion_of_written,
    mean_squared_error,
    peak_signal_to_noise_ratio,
    structural_similarity,
)


@pytest.fixture
def pair(rng):
    """A random image and a noisy version of it."""
    reference = torch.rand(3, 21, 34, generator=rng)
    return reference + 0.1 * torch.randn(reference.shape, generator=rng), reference


def literal_similarity(image, reference):
    """Wang et al. 2004, eq. 13, with an 11 × 11 Gaussian window of sigma 1.5."""
    distance = torch.arange(-5, 6).double()
    bell = torch.exp(-(distance**2) / (2 * 1.5**2))
    window = (torch.outer(bell, bell) / bell.sum() ** 2)[None, None]

    def local_mean(planes):
        return functional.conv2d(planes[:, None].double(), window)

    mean_x, mean_y = local_mean(image), local_mean(reference)
    variance_x = local_mean(image.double() ** 2) - mean_x**2
    variance_y = local_mean(reference.double() ** 2) - mean_y**2
    covariance = local_mean(image.double() * reference.double()) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_x + variance_y + 0.03**2)
    return (luminance * structure).mean().item()


def test_error_of_two_flat_images_is_their_squared_difference():
    black, grey = torch.zeros(3, 4, 5), torch.full((3, 4, 5), 0.25)
    assert mean_squared_error(black, grey) == 0.0625


def test_error_is_that_of_scikit_image(pair):
    image, reference = (x.double().numpy() for x in pair)
    expected = skimage.metrics.mean_squared_error(image, reference)
    assert mean_squared_error(*pair) == pytest.approx(expected)


def test_error_of_tiny_differences_is_not_lost_in_float32():
    image = torch.full((3, 500, 500), 0.5)
    image[0, 0, 0] += 1e-4
    assert mean_squared_error(image, torch.full_like(image, 0.5)) == pytest.approx(
        1e-8 / 750_000,
        rel=1e-3,  # 0.5001 in float32
    )


def test_half_precision_images_are_compared_exactly():
    half = torch.full((3, 2, 2), 300.0).half()  # squares overflow in float16
    assert mean_squared_error(half, -half) == 360_000


def test_signal_to_noise_ratio_is_that_of_scikit_image(pair):
    image, reference = (x.double().numpy() for x in pair)
    expected = skimage.metrics.peak_signal_noise_ratio(reference, image, data_range=1)
    assert peak_signal_to_noise_ratio(mean_squared_error(*pair)) == pytest.approx(expected)


def test_signal_to_noise_ratio_of_equal_images_is_infinite():
    assert peak_signal_to_noise_ratio(0.0) == math.inf
    assert peak_signal_to_noise_ratio(1.0) == 0


def test_similarity_is_the_literal_formula(pair):
    assert structural_similarity(*pair) == pytest.approx(literal_similarity(*pair))


def test_similarity_is_that_of_scikit_image_channel_by_channel(pair):
    channels = [
        skimage.metrics.structural_similarity(
            x.double().numpy(),
            y.double().numpy(),
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(*pair, strict=True)
    ]
    assert structural_similarity(*pair) == pytest.approx(sum(channels) / 3)


def test_similarity_of_flat_images_is_that_of_their_luminance():
    dark, bright = torch.full((3, 11, 11), 0.25), torch.full((3, 11, 11), 0.75)
    luminance = (2 * 0.25 * 0.75 + 0.01**2) / (0.25**2 + 0.75**2 + 0.01**2)
    assert structural_similarity(dark, bright) == pytest.approx(luminance)


def test_similarity_is_symmetric_and_one_for_equal_images(pair):
    image, reference = pair
    assert structural_similarity(image, reference) == structural_similarity(reference, image)
    assert structural_similarity(image, image) == 1
    assert structural_similarity(image, reference) < 1


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10)])
def test_similarity_of_an_image_below_the_window_is_not_defined(height, width):
    image = torch.ones(3, height, width)
    assert structural_similarity(image, image) is None


@pytest.mark.parametrize("size", [(11, 60_000), (1000, 600), (40, 30), (10, 30), (3, 200_000)])
def test_images_in_8_bits_are_compared_in_strips_as_in_one_piece(rng, size):
    reference = torch.randint(256, (*size, 3), generator=rng, dtype=torch.uint8)
    noise = torch.randint(40, reference.shape, generator=rng, dtype=torch.uint8)
    image = reference.bitwise_xor(noise)
    error, similarity = distortion_of_written(image, reference)
    pair = [levels.movedim(-1, 0).double() / 255 for levels in (image, reference)]
    assert error == pytest.approx(mean_squared_error(*pair), rel=1e-12)
    expected = structural_similarity(*pair)
    assert (similarity is None) == (expected is None)
    assert similarity is None or similarity == pytest.approx(expected, rel=1e-12)


def test_images_of_different_depths_are_compared_on_one_scale(rng):
    image = torch.randint(0, 256, (20, 24, 3), generator=rng, dtype=torch.uint8)
    fine = torch.from_numpy(image.numpy().astype("uint16") * 257)
    assert distortion_of_written(image, fine) == (0, pytest.approx(1))
    shades = image.float() / 255
    error, similar = distortion_of_written(image, shades)
    assert error < 1e-14
    assert similar == pytest.approx(1)


def test_weighted_error_and_similarity_are_weighted_means(rng):
    first, second = torch.randint(0, 256, (2, 90, 33, 3), generator=rng, dtype=torch.uint8)
    weights = torch.randint(0, 256, (90, 33), generator=rng, dtype=torch.uint8)
    weights[:40] = 0
    error, similar = distortion_of_written(first, second, weights)
    squared = ((first.double() - second.double()) / 255).square().mean(dim=2)
    assert error == pytest.approx(float((squared * weights).sum() / weights.sum()))
    on_white = (np.where(weights.numpy()[..., None] == 0, 255, p.numpy()) for p in (first, second))
    _, scores = skimage.metrics.structural_similarity(
        *(pixels / 255 for pixels in on_white),
        data_range=1,
        channel_axis=2,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )
    inner = weights[5:-5, 5:-5].double().numpy()
    expected = (scores[5:-5, 5:-5].mean(axis=2) * inner).sum() / inner.sum()
    assert similar == pytest.approx(expected)


def test_similarity_is_not_defined_where_no_window_has_weight():
    image = torch.zeros(20, 20, 3, dtype=torch.uint8)
    weights = torch.zeros(20, 20)
    weights[0, 0] = 1
    assert distortion_of_written(image, image, weights) == (0, None)
