"""The map of overlapping patches, by convolutions or not, against unfold, map and fold."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dot_kernels import latent_transport, patch_moments, solve_transport, transport_latents
from dot_kernels.patches import average_of_noise

ONLY_ROUNDING = {"rtol": 1e-11, "atol": 1e-11}
"""The same sums of numbers around ten in another order, in float64."""

LATENT_SIZES = [  # patch size, height, width
    (1, 1, 1),
    (1, 3, 5),
    (2, 2, 2),  # exactly one patch
    (2, 2, 9),
    (2, 5, 4),  # an axis of 4 (p - 1) + 1 is the first with an inside of its own
    (3, 3, 3),
    (3, 4, 11),
    (3, 8, 9),
    (3, 12, 10),
    (4, 7, 15),
    (5, 5, 5),
    (5, 17, 16),
]


def draw_latents(rng, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)


def bell(size):
    """exp(−r² / 2(p/4)²) of the distance r from the centre of a p × p patch."""
    rows, columns = torch.meshgrid(*[torch.arange(size).double()] * 2, indexing="ij")
    centre = (size - 1) / 2
    return torch.exp(-((rows - centre) ** 2 + (columns - centre) ** 2) / (2 * (size / 4) ** 2))


def unfold_map_fold(latents, operator, size, fold):
    """The literal definition: every patch mapped, then the weighted average of answers."""
    unfolded = functional.unfold(latents, size).mT  # (b, n, d)
    matrix, mean_1, mean_2 = (
        part.to(latents) for part in (operator.matrix, operator.source_mean, operator.target_mean)
    )
    mapped = (unfolded - mean_1) @ matrix.mT + mean_2
    weights = torch.ones(size, size) if fold == "uniform" else bell(size)
    weights = weights.to(latents).flatten().repeat(latents.shape[1])  # (d,)
    return functional.fold((mapped * weights).mT, latents.shape[2:], size) / functional.fold(
        weights.expand_as(mapped).mT, latents.shape[2:], size
    )


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


# The map


@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "height", "width"), LATENT_SIZES)
def test_transport_is_the_literal_unfold_map_fold_everywhere(
    rng, random_operator, size, height, width, channels, fold
):
    operator = random_operator(channels, size)
    latents = draw_latents(rng, 2, channels, height, width)
    literal = unfold_map_fold(latents, operator, size, fold)
    assert_close(transport_latents(latents, operator, fold=fold), literal, **ONLY_ROUNDING)


def test_operators_of_one_shape_are_not_taken_for_each_other(rng, random_operator):
    latents = draw_latents(rng, 1, 2, 9, 9)
    for operator in (random_operator(2, 3), random_operator(2, 3)):
        literal = unfold_map_fold(latents, operator, 3, "uniform")
        assert_close(transport_latents(latents, operator), literal, **ONLY_ROUNDING)


@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
def test_transport_in_float32_is_the_literal_one_to_float32(rng, random_operator, fold):
    operator = random_operator(4, 3)
    latents = draw_latents(rng, 2, 4, 13, 17, dtype=torch.float32)
    mapped = transport_latents(latents, operator, fold=fold)
    assert mapped.dtype == torch.float32
    literal = unfold_map_fold(latents.double(), operator, 3, fold)
    assert_close(mapped, literal.float())


def test_transport_is_the_average_over_the_patches_that_see_a_pixel(rng, random_operator):
    """The definition once more, in loops over pixels and patches."""
    operator = random_operator(2, 2)
    latents = draw_latents(rng, 1, 2, 3, 4)
    answers = [[[] for _ in range(4)] for _ in range(3)]
    for top in range(2):
        for left in range(3):
            patch = latents[0, :, top : top + 2, left : left + 2].flatten()
            mapped = operator.matrix @ (patch - operator.source_mean) + operator.target_mean
            for row in range(2):
                for column in range(2):
                    answer = mapped.view(2, 2, 2)[:, row, column]
                    answers[top + row][left + column].append(answer)
    expected = [[torch.stack(seen).mean(dim=0) for seen in line] for line in answers]
    expected = torch.stack([torch.stack(line, dim=1) for line in expected], dim=1)  # (c, h, w)
    assert_close(transport_latents(latents, operator)[0], expected, **ONLY_ROUNDING)


def test_the_identity_leaves_latents_alone(rng, random_moments):
    moments = random_moments(18)
    operator = solve_transport(moments, moments, ridge=0.0)
    latents = draw_latents(rng, 2, 2, 10, 7)
    assert_close(transport_latents(latents, operator), latents)


def test_pixels_transported_one_by_one_get_the_target_moments(rng, random_moments):
    latents = draw_latents(rng, 2, 4, 9, 12)
    target = random_moments(4)
    operator = solve_transport(patch_moments(latents, 1), target, ridge=0.0)
    moments = patch_moments(transport_latents(latents, operator), 1)
    assert_close(moments.mean, target.mean)
    assert_close(moments.covariance(), target.covariance())


def test_transport_moves_with_the_image_away_from_the_border(rng, random_operator):
    operator = random_operator(2, 3)
    latents = draw_latents(rng, 1, 2, 14, 14)
    whole, part = (transport_latents(x, operator) for x in (latents, latents[:, :, 1:, 2:]))
    assert_close(part[:, :, 2:, 2:], whole[:, :, 3:, 4:], **ONLY_ROUNDING)


def test_a_batch_is_transported_as_its_images_one_by_one(rng, random_operator):
    operator = random_operator(2, 3)
    latents = draw_latents(rng, 3, 2, 9, 10)
    apart = [transport_latents(image[None], operator) for image in latents]
    assert_close(transport_latents(latents, operator), torch.cat(apart), **ONLY_ROUNDING)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_transport_keeps_the_dtype_of_the_latents(random_operator, dtype):
    operator = random_operator(2, 3, source_rank=4)
    latents = torch.ones(1, 2, 9, 9, dtype=dtype)
    assert transport_latents(latents, operator, generators=generators(1)).dtype == dtype


def test_transport_leaves_its_input_as_it_was(rng, random_operator):
    latents = draw_latents(rng, 1, 2, 9, 9)
    before = latents.clone()
    transport_latents(latents, random_operator(2, 3, source_rank=4), generators=generators(1))
    assert torch.equal(latents, before)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that comes out of any operation."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return out


def test_small_latents_of_many_channels_need_no_more_memory_than_the_map(rng, random_operator):
    """A kernel for a block of borders would be hundreds of times the map."""
    dimension = 192 * 9
    matrix = torch.randn(dimension, dimension, generator=rng).double() / dimension**0.5
    means = torch.randn(2, dimension, generator=rng).double()
    parts = {"matrix": matrix, "source_mean": means[0], "target_mean": means[1]}
    operator = replace(random_operator(1, 1), **parts)
    latents = draw_latents(rng, 1, 192, 8, 8)
    literal = unfold_map_fold(latents, operator, 3, "uniform")
    with Largest() as seen:
        mapped = transport_latents(latents, operator)
    assert seen.elements <= matrix.numel()
    assert_close(mapped, literal, **ONLY_ROUNDING)


@pytest.mark.parametrize("source_rank", [None, 4])
@pytest.mark.parametrize("side", [6, 9])
def test_a_first_call_in_inference_mode_does_not_forbid_gradients_later(
    rng, random_operator, side, source_rank
):
    operator = random_operator(2, 3, source_rank=source_rank)
    latents = draw_latents(rng, 1, 2, side, side)
    with torch.inference_mode():
        first = transport_latents(latents, operator, generators=generators(1))
    again = transport_latents(latents.clone().requires_grad_(), operator, generators=generators(1))
    again.sum().backward()
    assert torch.equal(again.detach(), first)


# Noise


def noise_of(operator, latents, seeds, **options):
    """What a stochastic operator adds to its deterministic part."""
    silent = replace(operator, noise_covariance=None)
    mapped = transport_latents(latents, operator, generators=generators(*seeds), **options)
    return mapped - transport_latents(latents, silent, **options)


def test_noise_of_pixels_is_white_and_has_the_covariance_of_the_operator(random_operator):
    operator = random_operator(3, 1, source_rank=1)
    noise = noise_of(operator, torch.zeros(1, 3, 300, 300), [7])[0].double()
    variance = operator.noise_covariance.diagonal().max()
    error = {"rtol": 0, "atol": 5 * variance.item() * (2 / 300**2) ** 0.5}  # 5 standard errors
    samples = noise.flatten(1)  # (c, n)
    assert_close(torch.cov(samples), operator.noise_covariance, **error)
    assert_close(samples.mean(dim=1), torch.zeros(3).double(), **error)
    for shift in ((0, 1), (1, 0)):
        neighbours = noise.roll(shift, dims=(1, 2)).flatten(1)
        assert_close(samples @ neighbours.mT / 300**2, torch.zeros(3, 3).double(), **error)


@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
def test_noise_of_one_patch_has_the_covariance_of_the_operator(random_operator, fold):
    operator = random_operator(2, 3, source_rank=5)
    noise = noise_of(operator, torch.zeros(8000, 2, 3, 3), range(8000), fold=fold)
    variance = operator.noise_covariance.diagonal().max().item()
    covariance = torch.cov(noise.flatten(1).double().mT)
    five_errors = 5 * variance * (2 / 8000) ** 0.5
    assert_close(covariance, operator.noise_covariance, rtol=0, atol=five_errors)


@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
def test_averaging_overlapping_patches_does_not_weaken_their_noise(random_operator, fold):
    """Of p² independent draws; one draw shared by all patches would give more."""
    operator = random_operator(1, 3, source_rank=4)
    noise = noise_of(operator, torch.zeros(1, 1, 300, 300), [3], fold=fold)
    weights = (torch.ones(3, 3).double() if fold == "uniform" else bell(3)).flatten()
    variances = operator.noise_covariance.diagonal()
    expected = (weights.square() * variances).sum() / weights.square().sum()
    inside = noise[:, :, 2:-2, 2:-2].double().var()
    # neighbours within 3 × 3 share patches: n / 9 free samples, five standard errors
    assert inside.item() == pytest.approx(expected.item(), rel=5 * (2 * 9 / 296**2) ** 0.5)


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("fold", ["uniform", "gaussian"])
def test_noise_is_as_strong_at_the_border_as_inside(random_operator, size, fold):
    """White noise, the same in all features, keeps its variance of 1 at every pixel."""
    operator = random_operator(1, size, source_rank=size**2 - 1)
    operator = replace(operator, noise_covariance=torch.eye(size**2).double())
    images = 2000
    noise = noise_of(operator, torch.zeros(images, 1, 8, 8), range(images), fold=fold)
    five_errors = 5 * (2 / images) ** 0.5
    assert_close(
        noise.double().square().mean(dim=0), torch.ones(1, 8, 8).double(), rtol=0, atol=five_errors
    )


def test_noise_of_an_image_depends_on_its_generator_alone(rng, random_operator):
    operator = random_operator(2, 3, source_rank=5)
    latents = draw_latents(rng, 3, 2, 8, 9, dtype=torch.float32)
    together = transport_latents(latents, operator, generators=generators(1, 2, 3))
    for index, seed in ((2, 3), (0, 1)):
        alone = latents[index : index + 1]
        again = transport_latents(alone, operator, generators=generators(seed))
        assert_close(again[0], together[index])
        other = transport_latents(alone, operator, generators=generators(seed + 10))
        assert (other[0] - together[index]).abs().max() > 0.1


def test_a_deterministic_operator_uses_no_generator(rng, random_operator):
    operator = random_operator(2, 3)
    latents = draw_latents(rng, 1, 2, 8, 9)
    used, fresh = generators(1, 1)
    mapped = transport_latents(latents, operator, generators=[used])
    assert torch.equal(mapped, transport_latents(latents, operator))
    assert torch.equal(used.get_state(), fresh.get_state())


# Refusals


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_stochastic_operator_without_one_generator_per_image_is_refused(random_operator, count):
    operator = random_operator(2, 3, source_rank=5)
    with pytest.raises(ValueError, match=f"one generator per image, got {count} for 2 images"):
        transport_latents(torch.ones(2, 2, 5, 5), operator, generators=generators(*range(count)))


@pytest.mark.parametrize(("height", "width"), [(2, 9), (9, 2)])
def test_latents_smaller_than_a_patch_are_refused(random_operator, height, width):
    with pytest.raises(ValueError, match=f"at least one patch of 3×3, got {height}×{width}"):
        transport_latents(torch.ones(1, 2, height, width), random_operator(2, 3))


@pytest.mark.parametrize("channels", [3, 4, 36])
def test_an_operator_for_other_channels_is_refused(random_operator, channels):
    with pytest.raises(ValueError, match=f"patches of {channels} channels, got 18 dimensions"):
        transport_latents(torch.ones(1, channels, 9, 9), random_operator(2, 3))


@pytest.mark.parametrize("size", [1, 3])
def test_noise_in_strips_is_that_of_all_patches_together(monkeypatch, rng, size):
    source, target = torch.randn(2, 1, 2, 40, 40, generator=rng)
    source[:, 1] = source[:, 0]  # one direction is empty
    operator = solve_transport(patch_moments(source, size), patch_moments(target, size))
    assert operator.is_stochastic
    latents = torch.zeros(2, 2, 23, 17)
    monkeypatch.setattr(latent_transport, "_PATCHES_AT_ONCE", 70)

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    found = transport_latents(latents, operator, generators=generators())
    columns, rows = 17 - size + 1, 23 - size + 1
    strip, own = 70 // columns, generators()
    counts = [min(strip, rows - top) for top in range(0, rows, strip)]
    assert len(counts) > 2
    draws = [
        torch.cat([torch.randn(2 * size**2, n * columns, generator=one) for n in counts], dim=1)
        for one in own
    ]
    patches = latent_transport._noise_root(operator) @ torch.stack(draws)
    noise = average_of_noise(patches, latents.shape[2:], size, "uniform")
    plain = transport_latents(latents, replace(operator, noise_covariance=None))
    assert_close(found, plain + noise, rtol=1e-4, atol=1e-5)
