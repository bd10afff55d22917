"""Distortion along a line against the images of the line, made and written one by one."""

import numpy as np
import pytest
import skimage.metrics
import torch
from torch.testing import assert_close

from dot_kernels.metrics import (
    Written,
    distortion_of_written,
    line,
    mean_squared_error_along,
    squared_change_along,
    structural_similarity_along,
)

ALONG = [mean_squared_error_along, structural_similarity_along]
POINTS = [-3.0, -1.0, -0.5, -1e-3, 0.0, 1e-6, 0.05, 0.3, 0.5, 0.99, 1.0, 1.5, 4.0]
FEW_POINTS = [-3.0, -0.5, 0.0, 0.3, 1.0, 4.0]  # scikit-image takes its time


@pytest.fixture
def draw_line(rng):
    """Draws 8-bit images, directions of some tenths and references; any t leaves [0, 1]."""

    def draw(b=2, h=23, w=34, size=0.1):
        start = (torch.rand(b, 3, h, w, generator=rng) * 255).round() / 255
        direction = size * torch.randn(b, 3, h, w, generator=rng)
        reference = (start + 0.2 * torch.randn(b, 3, h, w, generator=rng)).clamp(0, 1)
        return start, direction, (reference * 255).round() / 255

    return draw


def written(line, t):
    """Levels at one point as an 8-bit file holds them, and those of the reference, by NumPy."""
    start, direction, reference = line
    images = np.rint(255 * np.clip((start + t * direction).numpy(), 0, 1)).astype(np.uint8)
    return [
        (image.transpose(1, 2, 0), np.rint(255 * truth.numpy()).astype(np.uint8).transpose(1, 2, 0))
        for image, truth in zip(images, reference, strict=True)
    ]


def errors(line, points):
    """Of the written images, from the definition."""
    return torch.tensor(
        [[((x / 255.0 - y / 255.0) ** 2).mean() for x, y in written(line, t)] for t in points]
    )


def similarities(line, points):
    """Of the written images, by scikit-image."""

    def one(image, reference):
        return skimage.metrics.structural_similarity(
            image / 255.0,
            reference / 255.0,
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            use_sample_covariance=False,
        )

    return torch.tensor([[one(*pair) for pair in written(line, t)] for t in points])


# Squared error


def test_error_of_flat_images_is_that_of_their_levels_within_the_range():
    start, direction, reference = (torch.full((1, 3, 4, 5), x) for x in (0.6, 0.2, 0.2))
    found = mean_squared_error_along(start, direction, reference, [0.0, 1.0, 2.0, 9.0, -2.0, -9.0])
    expected = torch.tensor([0.16, 0.36, 0.64, 0.64, 0.0, 0.04]).double()
    assert_close(found[:, 0], expected, rtol=1e-6, atol=1e-14)


def test_an_image_between_two_levels_is_measured_at_the_nearer_one():
    start, direction, reference = (torch.full((1, 3, 4, 5), x / 255) for x in (10, 1, 10))
    found = mean_squared_error_along(start, direction, reference, [0.4, 0.6, 1.4])
    assert_close(found[:, 0], torch.tensor([0, 1, 1]).double() / 255**2, rtol=1e-5, atol=1e-14)


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_error_is_that_of_the_written_images_at_every_point(draw_line, size):
    line = draw_line(size=size)
    found = mean_squared_error_along(*line, POINTS)
    assert_close(found, errors(line, POINTS), rtol=1e-6, atol=0)  # float32 references


def test_error_of_a_line_to_the_reference_is_zero_there(draw_line):
    start, _, reference = draw_line()
    found = mean_squared_error_along(start, reference - start, reference, [1.0, 0.0])
    assert_close(found[0], torch.zeros(2).double(), rtol=0, atol=1e-13)
    assert (found[1] > 0.01).all()


def test_change_is_that_of_the_written_images_to_the_start_at_every_point(draw_line):
    start, direction, _ = draw_line()
    expected = errors((start, direction, start), POINTS)
    assert_close(squared_change_along(start, direction, POINTS), expected, rtol=1e-6, atol=0)
    assert (expected[POINTS.index(0.0)] == 0).all()


def test_change_is_a_parabola_where_nothing_clips():
    start, direction = torch.full((1, 3, 4, 5), 0.5), torch.full((1, 3, 4, 5), 0.05)
    fine = Written(levels=1 << 24, start_levels=1 << 24)
    found = squared_change_along(start, direction, [-2.0, 0.5, 1.0, 4.0], fine)
    expected = torch.tensor([4, 0.25, 1, 16]).double() * 0.05**2
    assert_close(found[:, 0], expected, rtol=1e-5, atol=0)


def test_change_counts_pixels_by_their_weights_and_the_start_at_its_own_depth():
    start, direction = torch.full((1, 3, 2, 2), 100 / 65535), torch.zeros(1, 3, 2, 2)
    direction[..., 0, 0] = 0.2
    weights = torch.tensor([[[3.0, 1.0], [0.0, 0.0]]])
    deep = Written(levels=255, start_levels=65535, weights=weights)
    (found,) = squared_change_along(start, direction, [1.0], deep)
    levels = [round(255 * (0.2 + 100 / 65535)) / 255, 0.0]  # 0.39 of a level is written as none
    moved = [level - 100 / 65535 for level in levels]
    assert_close(found[0], torch.tensor((3 * moved[0] ** 2 + moved[1] ** 2) / 4).double())


def test_error_of_a_batch_is_that_of_its_images(draw_line):
    line = draw_line(b=3)
    together = mean_squared_error_along(*line, POINTS)
    assert together.shape == (len(POINTS), 3)
    for index in range(3):
        alone = mean_squared_error_along(*(x[index, None] for x in line), POINTS)
        assert_close(together[:, index], alone[:, 0])


def test_measuring_changes_no_image(draw_line):
    line = draw_line()
    before = [side.clone() for side in line]
    mean_squared_error_along(*line, FEW_POINTS)
    structural_similarity_along(*line, FEW_POINTS)
    assert all(torch.equal(side, old) for side, old in zip(line, before, strict=True))


# Structural similarity


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_similarity_is_that_of_the_written_images_at_every_point(draw_line, size):
    line = draw_line(size=size)
    scores = structural_similarity_along(*line, FEW_POINTS)
    # Local moments are in float32, 6e-8 of a square each, against C2 = 9e-4.
    assert_close(scores, similarities(line, FEW_POINTS), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (11, 40), (40, 12)])
def test_similarity_fits_images_of_the_windows_size(draw_line, height, width):
    line = draw_line(h=height, w=width)
    scores = structural_similarity_along(*line, FEW_POINTS)
    assert_close(scores, similarities(line, FEW_POINTS), rtol=0, atol=2e-6)


@pytest.mark.parametrize("level", [0, 12, 128, 243])
def test_similarity_of_smooth_images_is_as_exact_in_the_dark_as_in_the_light(draw_line, level):
    """Photographs: blurred, near black or white, where a variance is a difference of squares."""
    start, direction, reference = (
        torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
        for x in draw_line(h=12, w=15)
    )
    near = [(12 * x.clamp(0, 1) + level).round() / 255 for x in (start, reference)]
    line = (near[0], 0.02 * direction, near[1])
    scores = structural_similarity_along(*line, FEW_POINTS)
    assert_close(scores, similarities(line, FEW_POINTS), rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_similarity_of_flat_images_is_that_of_their_luminance(level):
    start = torch.full((1, 3, 11, 11), level / 255)
    reference = torch.full_like(start, 0.8)
    found = structural_similarity_along(start, torch.zeros_like(start), reference, [0.0])
    x = level / 255
    expected = torch.tensor([[(1.6 * x + 1e-4) / (x**2 + 0.64 + 1e-4)]]).double()
    assert_close(found, expected, rtol=0, atol=1e-4)  # 1e-8 of rounding, in a variance of 0
    similar = structural_similarity_along(start, torch.zeros_like(start), start, [0.0, 5.0])
    assert_close(similar, torch.ones(2, 1).double(), rtol=0, atol=1e-6)


def test_similarity_is_one_where_the_line_meets_the_reference(draw_line):
    start, _, reference = draw_line()
    scores = structural_similarity_along(start, reference - start, reference, [0.0, 1.0])
    assert_close(scores[1], torch.ones(2).double(), rtol=0, atol=1e-6)
    assert (scores[0] < 0.99).all()


def test_similarity_of_a_batch_is_that_of_its_images(draw_line):
    line = draw_line(b=3)
    together = structural_similarity_along(*line, FEW_POINTS)
    assert together.shape == (len(FEW_POINTS), 3)
    for index in range(3):
        alone = structural_similarity_along(*(x[index, None] for x in line), FEW_POINTS)
        assert_close(together[:, index], alone[:, 0], rtol=1e-7, atol=0)


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (1, 1)])
def test_similarity_of_images_below_the_window_is_not_defined(draw_line, height, width):
    assert structural_similarity_along(*draw_line(h=height, w=width), FEW_POINTS) is None


def test_no_images_have_neither(draw_line):
    nothing = draw_line(b=0)
    assert structural_similarity_along(*nothing, FEW_POINTS).shape == (len(FEW_POINTS), 0)
    assert mean_squared_error_along(*nothing, FEW_POINTS).shape == (len(FEW_POINTS), 0)


@pytest.mark.parametrize("pixels", [1, 64 * 50, 64 * 83, 1 << 30])
def test_neither_depends_on_the_strips_it_is_computed_in(monkeypatch, draw_line, pixels):
    given = draw_line(h=131, w=64)
    points = [-1.0, 0.0, 0.4, 2.0]
    whole = [f(*given, points) for f in (mean_squared_error_along, structural_similarity_along)]
    monkeypatch.setattr(line, "_STRIP_PIXELS", {"cpu": pixels})
    parts = [f(*given, points) for f in (mean_squared_error_along, structural_similarity_along)]
    assert_close(parts, whole, rtol=1e-7, atol=0)


def deep(lines, t, levels, depth):
    """The written images of a line and their references, as arrays (h, w, 3) of a type."""
    start, direction, reference = (side.double() for side in lines)
    images = (start + t * direction).clamp(0, 1)
    return [
        [
            torch.from_numpy(np.rint(side.numpy() * levels).astype(depth)).movedim(0, -1)
            for side in p
        ]
        for p in zip(images, reference, strict=True)
    ]


@pytest.mark.parametrize("has_weights", [False, True])
def test_deep_and_weighted_images_are_measured_as_they_are_written(rng, draw_line, has_weights):
    start, direction, _ = draw_line(2, 40, 31)
    reference = (torch.rand(2, 3, 40, 31, generator=rng) * 65535).round() / 65535
    weights = torch.rand(2, 40, 31, generator=rng) * (torch.rand(2, 40, 31, generator=rng) > 0.3)
    written = Written(
        levels=65535, reference_levels=65535, weights=weights if has_weights else None
    )
    lines = start, direction, reference
    errors = mean_squared_error_along(*lines, FEW_POINTS, written)
    scores = structural_similarity_along(*lines, FEW_POINTS, written)
    for index, t in enumerate(FEW_POINTS):
        pairs = deep(lines, t, 65535, np.uint16)
        for place, (image, truth) in enumerate(pairs):
            weight = weights[place] if has_weights else None
            error, score = distortion_of_written(image, truth, weight)
            assert float(errors[index, place]) == pytest.approx(error, rel=1e-5)
            assert float(scores[index, place]) == pytest.approx(score, abs=2e-6)


def test_weights_that_are_all_alike_change_nothing(draw_line):
    lines = draw_line(2, 40, 31)
    same = Written(weights=torch.full((2, 40, 31), 0.25))
    for along in (mean_squared_error_along, structural_similarity_along):
        assert_close(along(*lines, POINTS, same), along(*lines, POINTS), rtol=1e-6, atol=0)


def test_pixels_without_weight_do_not_count(draw_line):
    lines = draw_line(1, 40, 31)
    weights = torch.zeros(1, 40, 31)
    weights[:, :17] = 1
    seen = Written(weights=weights)
    upper = [side[:, :, :17] for side in lines]
    assert_close(
        mean_squared_error_along(*lines, POINTS, seen), mean_squared_error_along(*upper, POINTS)
    )
    before = structural_similarity_along(*lines, POINTS, seen)
    lines[1][:, :, 17:] *= -3
    lines[2][:, :, 17:] = 0
    assert_close(structural_similarity_along(*lines, POINTS, seen), before)


def test_wide_images_are_measured_in_parts_of_the_width_too(monkeypatch, rng):
    start, reference = torch.rand(2, 1, 3, 60, 130, generator=rng)
    line_ = start, torch.rand(1, 3, 60, 130, generator=rng) - 0.5, reference
    weights = torch.rand(1, 60, 130, generator=rng)
    for written in (Written(), Written(weights=weights)):
        expected = [along(*line_, [0.0, 0.7], written) for along in ALONG]
        with monkeypatch.context() as patch:
            patch.setitem(line._STRIP_PIXELS, "cpu", 44 * 50)
            found = [along(*line_, [0.0, 0.7], written) for along in ALONG]
        for ours, whole in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, whole, rtol=1e-6, atol=0)
