"""Fitting maps of a decoder's activations."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    PixelCodec,
    TiledCodec,
    fit_levels,
    patch_moments,
    solve_transport,
    transport_latents,
)
from dot_kernels.level_fitting import level_activations, level_moments, solve_level
from dot_kernels.levels import with_levels
from dot_kernels.moments import merge
from tests.support.networks.small_autoencoders import small


def tiny_codec():
    """diffusers' architecture with random weights: factor 4, 3 latent channels; in float64."""
    return AutoencoderCodec(small("AutoencoderTiny").double())


def affine_codec():
    """A tiny auto-encoder whose decoder is affine at every pixel: Gaussians stay Gaussian."""
    codec = tiny_codec()
    layers = codec.module.decoder.layers
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            with torch.no_grad():
                layer.weight[..., [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 0, 2, 0, 1, 2]] = 0
        elif not isinstance(layer, nn.Upsample):
            layers[index] = nn.Identity()
    return codec


def batches_of(rng, count, *, spread):
    """Batches of latents of several sizes, with a mean and a covariance of their own."""
    mixing = torch.randn(3, 3, generator=rng) * spread / 30 + torch.eye(3) * spread / 10
    mean = torch.randn(3, 1, 1, generator=rng) / 10
    return [
        torch.einsum("ce,beyx->bcyx", mixing, torch.randn(2, 3, side, side + 2, generator=rng))
        + mean
        for side in range(8, 8 + count)
    ]


def moments_at(batches, codec, level, size=1):
    return merge(m for z in batches for m in level_moments(z, codec, level, size))


def fitted(restored, natural, size=1, **options):
    source, target = (
        merge(patch_moments(z, size) for z in batches) for batches in (restored, natural)
    )
    return solve_transport(source, target, **options)


# The fit


def test_activations_of_an_affine_decoder_get_the_moments_of_natural_ones(rng):
    codec = affine_codec()
    restored, natural = batches_of(rng, 3, spread=0.4), batches_of(rng, 3, spread=1.0)
    # Of other latents, so that the decoder is not shown natural ones and levels have to act.
    latent = fitted(restored, batches_of(rng, 3, spread=2.0))
    operator = fit_levels(latent, restored, natural, codec, ridge=0.0)
    mapped = [transport_latents(z, latent) for z in restored]
    for level in range(3):
        own = moments_at(mapped, with_levels(codec, operator), level)
        without = moments_at(mapped, codec, level)
        expected = moments_at(natural, codec, level)
        # Three latent channels fill three of four directions; upsampling makes no more.
        assert_close(own.mean, expected.mean, rtol=1e-6, atol=1e-7)
        assert_close(own.covariance(), expected.covariance(), rtol=1e-5, atol=1e-8)
        assert not torch.allclose(without.covariance(), expected.covariance(), rtol=0.1)


def test_each_level_is_fitted_on_the_output_of_those_below(rng):
    codec = tiny_codec()
    restored, natural = batches_of(rng, 2, spread=0.4), batches_of(rng, 2, spread=1.0)
    latent = fitted(restored, natural, 3)
    operator = fit_levels(latent, restored, natural, codec, patch_size=2, ridge=1e-3)
    mapped = [transport_latents(z, latent) for z in restored]
    for level, part in operator.levels.items():
        below = with_levels(codec, operator.below(level))
        expected = solve_level(
            merge(patch_moments(level_activations(z, below, level), 2) for z in mapped),
            merge(patch_moments(level_activations(z, codec, level), 2) for z in natural),
            ridge=1e-3,
        )
        assert_close(part.matrix, expected.matrix)
        assert_close(part.offset(), expected.offset())
        assert part.diagnostics.ridge == 1e-3


def test_levels_that_are_not_asked_for_are_left_as_they_are(rng):
    codec = tiny_codec()
    restored, natural = batches_of(rng, 2, spread=0.4), batches_of(rng, 2, spread=1.0)
    latent = fitted(restored, natural)
    assert list(fit_levels(latent, restored, natural, codec, levels=[2, 0]).levels) == [0, 2]
    assert fit_levels(latent, restored, natural, codec, levels=[]).levels == {}
    pixel = PixelCodec(1)
    assert fit_levels(latent, restored, natural, pixel).levels == {}
    with pytest.raises(ValueError, match=r"levels must be among the 3 .* got \[3\]"):
        fit_levels(latent, restored, natural, codec, levels=[3])


def test_the_fit_on_a_stochastic_transport_sees_its_noise(rng):
    codec = tiny_codec()
    natural = batches_of(rng, 2, spread=1.0)
    restored = [z * torch.tensor([1.0, 0.5, 0.0]).view(-1, 1, 1) for z in natural]
    latent = fitted(restored, natural, ridge=0.0)
    assert latent.is_stochastic

    def generators():
        return [[torch.Generator().manual_seed(2 * i + j) for j in (0, 1)] for i in (0, 1)]

    operator = fit_levels(latent, restored, natural, codec, generators=generators())
    mapped = [
        transport_latents(z, latent, generators=g)
        for z, g in zip(restored, generators(), strict=True)
    ]
    expected = moments_at(mapped, codec, 0)
    assert_close(operator.levels[0].source_mean, expected.mean)


# One level


def test_a_map_to_itself_is_the_identity(rng):
    moments = GaussianMoments.of(torch.randn(200, 6, generator=rng))
    operator = solve_level(moments, moments)
    assert_close(operator.matrix, torch.eye(6).double(), rtol=0, atol=1e-9)
    assert operator.diagnostics.push_forward_error < 1e-9


def test_a_channel_that_is_empty_for_restored_images_gets_no_noise(rng):
    natural = torch.randn(400, 3, generator=rng).double()
    restored = natural.clone() * 0.5
    restored[:, 2] = 0.25
    operator = solve_level(GaussianMoments.of(restored), GaussianMoments.of(natural), ridge=0.0)
    assert not operator.is_stochastic
    moved = operator.push_forward(*_mean_and_covariance(restored))
    target = _mean_and_covariance(natural)
    assert_close(moved[0], target[0])
    assert float(moved[1].trace()) < float(target[1].trace())
    assert operator.diagnostics.branch == "deterministic"
    assert operator.diagnostics.push_forward_error > 0.1


def test_a_channel_that_is_empty_everywhere_stays_as_it_is(rng):
    samples = torch.randn(2, 400, 3, generator=rng)
    samples[..., 1] = 0.0
    operator = solve_level(*(GaussianMoments.of(each) for each in samples))
    assert_close(operator.matrix[1], torch.tensor([0.0, 1.0, 0.0]).double())
    assert abs(float(operator.offset()[1])) < 1e-15


def _mean_and_covariance(samples):
    moments = GaussianMoments.of(samples)
    return moments.mean, moments.covariance()


def test_levels_with_fewer_patches_than_dimensions_are_refused(rng):
    moments = GaussianMoments.of(torch.randn(4, 4, generator=rng))
    with pytest.raises(ValueError, match="source must hold more patches than the 4 dimensions"):
        solve_level(moments, moments)


# Moments


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_moments_of_a_level_are_those_of_all_patches_of_its_activations(rng, level, size):
    codec, latents = tiny_codec(), torch.randn(2, 3, 5, 6, generator=rng)
    activations = level_activations(latents, codec, level)
    for image, found in enumerate(level_moments(latents, codec, level, size)):
        patches = activations[image].unfold(1, size, 1).unfold(2, size, 1)
        samples = patches.movedim(0, 2).flatten(2).flatten(0, 1)  # (n, k * p * p)
        expected = GaussianMoments.of(samples)
        assert found.count == expected.count
        assert_close(found.mean, expected.mean)
        assert_close(found.scatter, expected.scatter)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("level", [0, 2])
def test_moments_of_large_images_do_not_depend_on_tiles(rng, level, size):
    codec, latents = tiny_codec(), torch.randn(2, 3, 26, 11, generator=rng)
    shown = torch.rand(2, 26 * 2**level, 11 * 2**level, generator=rng) > 0.05
    options = {"size": (99, 41), "shown": shown}
    for tiled, expected in zip(
        level_moments(latents, TiledCodec(codec, 16), level, size, **options),
        level_moments(latents, codec, level, size, **options),
        strict=True,
    ):
        assert tiled.count == expected.count > 0
        assert_close(tiled.mean, expected.mean)
        assert_close(tiled.scatter, expected.scatter)


def test_padding_and_what_is_hidden_stay_out_of_moments(rng):
    codec, latents = tiny_codec(), torch.randn(1, 3, 5, 6, generator=rng)
    activations = level_activations(latents, codec, 1)  # 10 × 12, two image pixels each
    shown = torch.ones(1, 10, 12, dtype=torch.bool)
    shown[:, 3:5] = False
    (found,) = level_moments(latents, codec, 1, 2, size=(17, 22), shown=shown)
    expected = patch_moments(activations[:, :, :3, :11], 2)
    expected = expected + patch_moments(activations[:, :, 5:8, :11], 2)
    assert found.count == expected.count == 2 * 2 * 10
    assert_close(found.scatter, expected.scatter)


def test_an_image_without_a_whole_patch_has_no_moments(rng):
    latents = torch.randn(1, 3, 2, 2, generator=rng)
    (found,) = level_moments(latents, tiny_codec(), 0, 3)
    assert (found.count, found.dimension) == (0, 36)
    (found,) = level_moments(latents, tiny_codec(), 0, 1, size=(3, 8))
    assert found.count == 0


def test_a_codec_without_levels_has_no_moments_of_them(rng):
    with pytest.raises(ValueError, match="among the 0 that the decoder of the codec has"):
        level_moments(torch.zeros(1, 48, 4, 4), PixelCodec(4), 0, 1)
