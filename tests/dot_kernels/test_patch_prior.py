"""Restoration by the patches of a reference, on textures that scikit-image brings."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from skimage import data
from torch.testing import assert_close

from dot_kernels import patch_prior
from dot_kernels.degradations import Degradation, GaussianBlur, Noise, degrade
from dot_kernels.linear_degradations import spectral_degradation
from dot_kernels.patch_levels import PatchCost, moved_level
from dot_kernels.patch_prior import PatchPriorOptions, restore_by_patches
from dot_kernels.patch_pyramids import patches_of
from dot_kernels.restorers import bicubic

BLUR = GaussianBlur(size=8, sigma=1.5, stride=2)
SMALL = {"samples": 200, "stride": 2, "patch_size": 5, "eps": 0.002}


@pytest.fixture(scope="module")
def brick():
    """A wall, once to restore and once as the reference: grey (1, 28, 28) each."""
    image = torch.from_numpy(data.brick()).float()[None] / 255
    image = torch.nn.functional.avg_pool2d(image[None], 2)[0]
    return image[:, 20:48, 20:48], image[:, 120:148, 90:118]


def blurred(image, sigma=0.01):
    steps: list[Degradation] = [BLUR, Noise(sigma=sigma)]
    colours = image.expand(3, -1, -1).contiguous()
    degraded = degrade(colours, steps, torch.Generator().manual_seed(1))
    return degraded[:1], bicubic(degraded, steps)[:1]


def restored(brick, sigma=0.01, seed=0, reference=None, cost=None, **options):
    image, other = brick
    degraded, start = blurred(image, sigma)
    return restore_by_patches(
        degraded,
        spectral_degradation([BLUR], *image.shape[1:]),
        sigma,
        reference=other if reference is None else reference,
        start=start,
        options=PatchPriorOptions(cost=PatchCost(**(SMALL | (cost or {}))), **options),
        generator=torch.Generator().manual_seed(seed),
    )


def error(image, other):
    return float((image - other).square().mean())


@pytest.mark.parametrize("marginal", ["balanced", "semi", "unbalanced", "wpp"])
def test_an_image_whose_patches_the_reference_has_comes_back(brick, marginal):
    """The image itself is the reference: of blurs of it, only that of the image is one of it."""
    image, _ = brick
    _, start = blurred(image)
    found = restored(brick, reference=image, cost={"marginal": marginal}, steps=60)
    assert error(found.image, image) < 0.6 * error(start, image)


def test_the_residual_is_as_strong_as_the_noise(brick):
    assert restored(brick, sigma=0.05, steps=90).residual == pytest.approx(0.05, rel=0.1)


def test_without_noise_the_residual_is_what_rounding_leaves(brick):
    found = restored(brick, sigma=0.0, steps=90)
    assert found.residual == pytest.approx(1 / (255 * math.sqrt(12)), rel=0.1)


def test_a_weight_that_is_given_stays_and_a_larger_one_fits_better(brick):
    light, heavy = (restored(brick, weight=weight, steps=60) for weight in (0.5, 50.0))
    assert (light.weight, heavy.weight) == (0.5, 50.0)
    assert heavy.residual < light.residual / 2
    assert heavy.distance > light.distance


def test_the_same_generator_draws_the_same_image(brick):
    first, second = (restored(brick, steps=5) for _ in range(2))
    assert torch.equal(first.image, second.image)
    assert not torch.equal(restored(brick, steps=5, seed=1).image, first.image)


def test_the_descent_ends_where_its_value_stands_still(brick):
    found = restored(brick, weight=5.0, steps=1000, tolerance=0.1)
    assert found.steps < 500
    assert restored(brick, weight=5.0, steps=3).steps == 3


def test_a_defect_of_the_reference_is_left_out_by_the_semi_marginal_only(brick):
    """Half of the reference is white, of which the image has nothing."""
    image, other = brick
    spoilt = other.clone()
    spoilt[:, 14:] = 1.0
    found = {
        marginal: restored(
            brick, reference=spoilt, cost={"marginal": marginal, "rho": 0.01}, steps=80
        ).image
        for marginal in ("balanced", "semi")
    }
    assert float((found["semi"] - image).clamp(min=0).max()) < 0.35
    assert error(found["semi"], image) < 0.7 * error(found["balanced"], image)


def test_the_gradient_of_a_level_is_that_of_its_value(brick):
    image = brick[0][:, :12, :12].double()
    reference = patches_of(brick[1][:, :14, :14].double(), 5, 1)
    cost = PatchCost(patch_size=5, stride=2, eps=0.05, rho=0.1, alternations=3000)

    def level(image, start):
        return moved_level(image, reference, start, cost)

    potential = level(image, torch.zeros(25).double()).potential
    found = level(image, potential)
    step = torch.zeros_like(image)
    step[0, 5, 7] = 1e-4
    above, below = (level(image + sign * step, potential).value for sign in (1, -1))
    # potentials are as good as the tolerance of their marginal, 1e-4
    assert (above - below) / 2e-4 == pytest.approx(float(found.gradient[0, 5, 7]), rel=0.01)


def test_an_image_of_one_level_may_be_as_small_as_a_patch(brick):
    image, other = brick
    tiny = restored((image[:, :8, :10], other), cost={"patch_size": 8}, steps=3, levels=4)
    assert tiny.image.shape == (1, 8, 10)


def test_the_rate_falls_only_once_the_residual_is_right():
    descent = patch_prior._Descent(0.9, 0.01)
    assert not any(descent.ends(1.0, 1.0) for _ in range(50))
    assert descent.rate == 0.9
    assert [descent.ends(1.0, 0.0) for _ in range(81)][-1]
    assert descent.rate == pytest.approx(0.9 / 27)


def test_steps_are_as_long_as_the_rate_while_the_gradient_stays(rng):
    """Adam's bias is taken out of both averages, so it is so from the first step on."""
    descent, gradient = patch_prior._Descent(0.02, 0.01), torch.randn(1, 4, 4, generator=rng)
    for _ in range(3):
        assert_close(descent.step(gradient), 0.02 * gradient.sign())
    turned = descent.step(-gradient)
    mean = (0.9 * (1 - 0.9**3) - 0.1) / (1 - 0.9**4)
    assert_close(turned, 0.02 * mean * gradient.sign())


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (torch.zeros(1, 4, 28), "reference must be at least as large as a patch, 5×5, got 4×28"),
        (torch.zeros(3, 28, 28), "must have the channels of the image, 1, got 3|'reference'"),
    ],
)
def test_references_that_do_not_fit_are_refused(brick, reference, said):
    with pytest.raises((ValueError, TypeCheckError), match=said):
        restored(brick, reference=reference, steps=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eps": 0.0}, "eps must be positive and finite, got 0.0"),
        ({"rho": -1.0}, "rho must be positive and finite, got -1.0"),
        ({"rho": math.inf}, "rho must be positive and finite, got inf"),
        ({"patch_size": 0}, "patch_size must be at least 1, got 0"),
        ({"marginal": "loose"}, "marginal"),  # its annotation comes before its own sentence
    ],
)
def test_costs_that_are_none_are_refused(options, said):
    with pytest.raises((ValueError, TypeCheckError), match=said):
        PatchCost(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"weight": 0.0}, "weight must be positive and finite, got 0.0"),
        ({"rate": math.nan}, "rate must be positive and finite, got nan"),
    ],
)
def test_descents_that_are_none_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        PatchPriorOptions(**options)
