"""Distortion along a line against the images of the line, made one by one."""

import pytest
import torch
from torch.testing import assert_close

from dot_kernels.metrics import (
    ErrorSums,
    line,
    mean_squared_error,
    structural_similarity,
    structural_similarity_along,
)

POINTS = [-3.0, -1.0, -0.5, -1e-3, 0.0, 1e-6, 0.05, 0.3, 0.5, 0.99, 1.0, 1.5, 4.0]
FEW_POINTS = [-3.0, -0.5, 0.0, 0.3, 1.0, 4.0]  # scikit-image takes its time


@pytest.fixture
def draw_line(rng):
    """Draws images, directions of some tenths and references; any t leaves [0, 1] somewhere."""

    def draw(b=2, h=23, w=34, size=0.1):
        start = torch.rand(b, 3, h, w, generator=rng)
        direction = size * torch.randn(b, 3, h, w, generator=rng)
        reference = (start + 0.2 * torch.randn(b, 3, h, w, generator=rng)).clamp(0, 1)
        return start, direction, reference

    return draw


def on(line, t):
    """The unclipped images at one point, and their references, image by image."""
    start, direction, reference = line
    return zip(start.double() + t * direction.double(), reference, strict=True)


def similarities(line, points):
    """Of images made explicitly, by scikit-image."""
    return torch.tensor([[structural_similarity(*pair) for pair in on(line, t)] for t in points])


# Squared error


def test_error_of_flat_images_is_a_parabola():
    start, direction, reference = (torch.full((1, 3, 4, 5), x) for x in (0.5, 0.25, 0.0))
    errors = ErrorSums.of(start, direction, reference).mean_squared_error(
        [0.0, 1.0, 2.0, -2.0, -4.0]
    )
    assert_close(errors, torch.tensor([[0.25], [0.5625], [1.0], [0.0], [0.25]]).double())


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_error_is_that_of_the_images_at_every_point(draw_line, size):
    line = draw_line(size=size)
    expected = [[mean_squared_error(*pair) for pair in on(line, t)] for t in POINTS]
    errors = ErrorSums.of(*line).mean_squared_error(POINTS)
    # e comes from float32 images, and so does its difference here; the rest is float64.
    assert_close(errors, torch.tensor(expected).double(), rtol=1e-6, atol=0)


def test_error_of_a_line_through_the_reference_is_zero_there_and_never_less(draw_line):
    start, _, reference = draw_line()
    toward = reference - start
    points = [1 + step * 1e-9 for step in range(-50, 50)]
    errors = ErrorSums.of(start, toward, reference).mean_squared_error([*points, 1.0])
    assert (errors >= 0).all()
    assert_close(errors, torch.zeros_like(errors), rtol=0, atol=1e-15)  # of three sums near 0.04


def test_error_of_a_batch_is_that_of_its_images(draw_line):
    line = draw_line(b=3)
    together = ErrorSums.of(*line).mean_squared_error(POINTS)
    assert together.shape == (len(POINTS), 3)
    for index in range(3):
        alone = ErrorSums.of(*(x[index, None] for x in line)).mean_squared_error(POINTS)
        assert_close(together[:, index], alone[:, 0])


def test_error_before_clipping_is_never_below_that_after(draw_line):
    """References are in [0, 1], and clipping brings every value nearer to such."""
    for size in (0.02, 0.3, 2.0):
        line = draw_line(b=8, size=size)
        errors = ErrorSums.of(*line).mean_squared_error(POINTS)
        for t, before in zip(POINTS, errors, strict=True):
            after = [mean_squared_error(image.clamp(0, 1), y) for image, y in on(line, t)]
            # Where nothing is clipped both are one number, in two roundings of e (float32).
            assert (before * (1 + 1e-6) >= torch.tensor(after).double()).all()


# Structural similarity


@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_similarity_is_that_of_the_images_at_every_point(draw_line, size):
    line = draw_line(size=size)
    scores = structural_similarity_along(*line, FEW_POINTS)
    # Sums over powers of t and their quotient are in float32 at every pixel, 6e-8 each; the
    # mean over the pixels of their rounding, which has either sign, is smaller.
    assert_close(scores, similarities(line, FEW_POINTS).double(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (11, 40), (40, 12)])
def test_similarity_fits_images_of_the_windows_size(draw_line, height, width):
    line = draw_line(h=height, w=width)
    scores = structural_similarity_along(*line, FEW_POINTS)
    expected = similarities(line, FEW_POINTS).double()
    # Down to one pixel a channel: no mean over pixels that rounding could vanish in.
    assert_close(scores, expected, rtol=0, atol=5e-7)


def test_similarity_of_smooth_dark_images_is_as_exact(draw_line):
    """Photographs: blurred, some of it near black, a direction as smooth as they are."""
    start, direction, reference = (
        torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic")
        for x in draw_line(h=12, w=15)
    )
    line = (0.2 * start.clamp(0, 1) ** 2, 0.02 * direction, 0.2 * reference.clamp(0, 1) ** 2)
    scores = structural_similarity_along(*line, FEW_POINTS)
    # float32 before a mean over pixels, as above
    assert_close(scores, similarities(line, FEW_POINTS).double(), rtol=0, atol=1e-7)


def test_similarity_of_flat_images_is_that_of_their_luminance():
    start, direction, reference = (torch.full((1, 3, 11, 11), x) for x in (0.25, 0.25, 0.75))
    scores = structural_similarity_along(start, direction, reference, [0.0, 1.0, 2.0])
    expected = [[(1.5 * x + 1e-4) / (x**2 + 0.75**2 + 1e-4)] for x in (0.25, 0.5, 0.75)]
    # one rounding of float32 for every factor
    assert_close(scores, torch.tensor(expected).double(), rtol=0, atol=5e-7)


def test_similarity_is_one_where_the_line_meets_the_reference(draw_line):
    start, _, reference = draw_line()
    scores = structural_similarity_along(start, reference - start, reference, [0.0, 1.0])
    assert_close(scores[1], torch.ones(2).double(), rtol=0, atol=1e-6)  # float32 before the mean
    assert (scores[0] < 0.99).all()


def test_similarity_of_a_batch_is_that_of_its_images(draw_line):
    line = draw_line(b=3)
    together = structural_similarity_along(*line, FEW_POINTS)
    assert together.shape == (len(FEW_POINTS), 3)
    for index in range(3):
        alone = structural_similarity_along(*(x[index, None] for x in line), FEW_POINTS)
        assert torch.equal(together[:, index], alone[:, 0])


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (1, 1)])
def test_similarity_of_images_below_the_window_is_not_defined(draw_line, height, width):
    assert structural_similarity_along(*draw_line(h=height, w=width), FEW_POINTS) is None


def test_no_images_have_no_similarity(draw_line):
    assert structural_similarity_along(*draw_line(b=0), FEW_POINTS).shape == (len(FEW_POINTS), 0)


@pytest.mark.parametrize("pixels", [1, 64 * 25, 64 * 40])
def test_similarity_does_not_depend_on_the_strips_it_is_computed_in(monkeypatch, pixels):
    random = torch.Generator().manual_seed(0)
    start, direction, reference = torch.rand(3, 2, 3, 83, 64, generator=random)
    whole = structural_similarity_along(start, direction, reference, [-1.0, 0.0, 0.4, 2.0])
    monkeypatch.setattr(line, "_STRIP_PIXELS", pixels)
    parts = structural_similarity_along(start, direction, reference, [-1.0, 0.0, 0.4, 2.0])
    torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)


def test_similarity_is_exact_where_a_picture_fades_to_nothing():
    random = torch.Generator().manual_seed(0)
    start, reference = torch.rand(2, 1, 3, 32, 32, generator=random).double()
    direction = -start + 0.01 * torch.rand(start.shape, generator=random)
    found = structural_similarity_along(start, direction, 0.02 * reference, [0.99, 1.0])
    for point, score in zip((0.99, 1.0), found[:, 0], strict=True):
        image = (start + point * direction)[0]
        assert float(score) == pytest.approx(structural_similarity(image, 0.02 * reference[0]))
