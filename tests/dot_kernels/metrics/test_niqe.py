"""NIQE against a second derivation by SciPy, block by block, and against BasicSR's own numbers."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, special
from torch.testing import assert_close

from dot_kernels.metrics.niqe import (
    PristineModel,
    block_features,
    blocks_shown,
    natural_image_quality,
)

GRID = np.arange(200, 10_001) / 1000
RATIOS = special.gamma(2 / GRID) ** 2 / (special.gamma(1 / GRID) * special.gamma(3 / GRID))

OF_BASICSR = {
    "kodak24/kodim02.png": 3.6252987903534724,
    "kodak24/kodim04.png": 3.2941098029842504,
    "kodak24/kodim05.png": 3.817031522957552,
    "kodak24/kodim07.png": 3.5290471135610493,
    "kodak24/kodim08.png": 3.4181670858168705,
    "imagenet_samples/n01443537_goldfish.JPEG": 4.3994904397006795,
    "imagenet_samples/n01560419_bulbul.JPEG": 4.2944607066264116,
}
"""What BasicSR 1.4.2 says of photographs, its code run as it is.

They have no wide areas that are almost flat. There the order of its sums in float32 decides about
signs at half size, and moves its number by up to 0.001.
"""


def texture(rng, height, width, *, b=1):
    """Images in 8 bits with slow and fast changes, and flat parts at both ends of the range."""
    noise = torch.randn(b, 3, height, width, generator=rng)
    slow = torch.linspace(-4, 5, width) + torch.linspace(-1, 1, height)[:, None]
    images = (0.5 + 0.25 * slow.sin() + 0.05 * noise * (slow > -2)).clamp(0, 1)
    images[:, :, : height // 3, : width // 3] = 1.0
    return (images * 255).round() / 255


def reader(images):
    return lambda down, across: images[..., down.start : down.stop, across.start : across.stop]


@pytest.fixture
def model(rng):
    """A made-up model of pristine images, of the right size."""
    root = torch.randn(36, 36, generator=rng, dtype=torch.float64)
    return PristineModel(torch.rand(36, generator=rng).double(), root @ root.T / 36 + torch.eye(36))


def halved(image):
    """An image at half size by MATLAB's imresize: each output pixel from its definition."""

    def cubic(x):
        x = np.abs(x)
        inner = 1.5 * x**3 - 2.5 * x**2 + 1
        outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, inner, np.where(x <= 2, outer, 0))

    for axis in (0, 1):
        length = image.shape[axis]
        padded = np.pad(image, [(8, 8) if axis == a else (0, 0) for a in (0, 1)], "symmetric")
        places = np.arange(-8, length + 8)
        centres = 2 * np.arange(length // 2) + 0.5
        matrix = cubic((centres[:, None] - places) / 2)
        matrix /= matrix.sum(axis=1, keepdims=True)
        image = np.moveaxis(np.tensordot(matrix, padded, (1, axis)), 0, axis)
    return image


def fitted(values):
    """Shape and both spreads of an asymmetric generalised Gaussian, as in the paper's code."""
    left = np.sqrt(np.mean(values[values < 0] ** 2))
    right = np.sqrt(np.mean(values[values > 0] ** 2))
    ratio = left / right
    measured = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    measured *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = GRID[np.argmin((RATIOS - measured) ** 2)]
    scale = np.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
    return shape, left * scale, right * scale


def derived(image):
    """Features of an image's blocks (n, 36), row by row, from the definition."""
    levels = (image.numpy() * 255).round().astype(np.float32) / np.float32(255)
    light = np.tensordot([65.481, 128.553, 24.966], levels.astype(float), 1) + 16
    light = np.round((light / 255).astype(np.float32) * np.float32(255)).astype(float)
    rows, columns = (side // 96 for side in light.shape)
    light = light[: rows * 96, : columns * 96]
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window = np.outer(window, window) / window.sum() ** 2
    found = []
    for side in (96, 48):
        x = light.astype(np.float32)
        mean, square = (
            ndimage.convolve(v.astype(float), window, mode="nearest").astype(np.float32)
            for v in (x, x**2)
        )
        flat = (x - mean) / (np.sqrt(np.abs(square - mean**2)) + 1)
        numbers = []
        for row in range(rows):
            for column in range(columns):
                block = flat[row * side : (row + 1) * side, column * side : (column + 1) * side]
                shape, left, right = fitted(block)
                numbers.append([shape, (left + right) / 2])
                for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    shape, left, right = fitted(block * np.roll(block, shift, (0, 1)))
                    mean = (right - left) * special.gamma(2 / shape) / special.gamma(1 / shape)
                    numbers[-1] += [shape, mean, left, right]
        found.append(np.array(numbers))
        light = halved(light)
    return np.concatenate(found, axis=1)


@pytest.mark.parametrize(("height", "width"), [(192, 288), (230, 301)])
def test_features_of_blocks_are_those_of_their_definition(rng, height, width):
    images = texture(rng, height, width)
    (found,) = block_features(reader(images), height, width)
    expected = torch.from_numpy(derived(images[0]))
    assert_close(found.isnan(), expected.isnan())
    steps = (found - expected).abs()[:, [0, 2, 6, 10, 14, 18, 20, 24, 28, 32]]
    assert steps.nan_to_num().max() < 1.5e-3  # shapes are on a grid of 0.001
    assert_close(found, expected, rtol=2e-3, atol=1e-4, equal_nan=True)


def test_quality_is_the_distance_of_means_under_both_covariances(rng, model):
    features = torch.randn(40, 36, generator=rng, dtype=torch.float64)
    features[3, 5:8] = torch.nan
    apart = model.mean.numpy() - np.nanmean(features.numpy(), axis=0)
    whole = features.numpy()[~np.isnan(features.numpy()).any(axis=1)]
    pooled = (model.covariance.numpy() + np.cov(whole, rowvar=False)) / 2
    expected = np.sqrt(apart @ np.linalg.solve(pooled, apart))
    assert natural_image_quality(features, model, None) == pytest.approx(expected, rel=1e-9)


def test_blocks_that_do_not_count_are_as_if_they_were_not_there(rng, model):
    features = torch.randn(9, 36, generator=rng, dtype=torch.float64)
    counted = torch.tensor([True, False, True, True, False, True, True, False, True])
    found = natural_image_quality(features, model, counted)
    assert found == natural_image_quality(features[counted], model, None)
    assert found != natural_image_quality(features, model, None)


@pytest.mark.parametrize(("height", "width"), [(95, 500), (96, 191), (10, 10)])
def test_fewer_than_two_blocks_have_no_quality(rng, model, height, width):
    (found,) = block_features(reader(texture(rng, height, width)), height, width)
    assert len(found) == (height // 96) * (width // 96)
    assert natural_image_quality(found, model, None) is None


def test_flat_images_have_no_quality(model):
    (found,) = block_features(reader(torch.full((1, 3, 192, 192), 0.5)), 192, 192)
    assert found.isnan().any(dim=1).all()
    assert natural_image_quality(found, model, None) is None


def test_a_batch_has_the_features_of_its_images(rng):
    images = texture(rng, 192, 192, b=3)
    together = block_features(reader(images), 192, 192)
    for image, found in zip(images, together, strict=True):
        alone = block_features(reader(image[None]), 192, 192)[0]
        assert_close(found, alone, equal_nan=True)


def test_only_a_few_blocks_are_read_at_a_time(rng):
    images, asked = torch.rand(1, 3, 96, 96 * 40, generator=rng), []

    def read(down, across):
        asked.append((len(down), len(across)))
        return reader(images)(down, across)

    block_features(read, 96, 96 * 40)
    assert max(width for _, width in asked) < 96 * 17


def test_blocks_are_shown_that_have_one_pixel_to_be_seen():
    opacity = torch.zeros(1, 200, 290)
    opacity[0, 95, 95] = 0.1
    opacity[0, 100, 200:] = 1
    opacity[0, 195:] = 1  # below the last block
    assert blocks_shown(opacity).tolist() == [[True, False, False, False, False, True]]


@pytest.mark.parametrize("name", OF_BASICSR)
def test_quality_of_photographs_is_that_of_basicsr(test_data, name):
    arrays = np.load(test_data / "weights/niqe/niqe_pris_params.npz")
    mean, covariance = arrays["mu_pris_param"][0], arrays["cov_pris_param"]
    model = PristineModel(torch.from_numpy(mean), torch.from_numpy(covariance))
    pixels = np.array(Image.open(test_data / "images" / name).convert("RGB"))
    image = torch.from_numpy(pixels).movedim(-1, 0)[None] / 255
    (found,) = block_features(reader(image), *image.shape[2:])
    assert natural_image_quality(found, model, None) == pytest.approx(OF_BASICSR[name], abs=1e-4)
