"""Transport of a decoder's activations."""

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    GreyCodec,
    LevelledOperator,
    PixelCodec,
    StagedCodec,
    TiledCodec,
    TransportOperator,
    enhance,
    solve_transport,
    transport_images,
    transport_latents,
)
from dot_kernels.blending import whole
from dot_kernels.level_fitting import level_activations, solve_level
from dot_kernels.levels import least_side, level_channels, with_levels
from dot_kernels.rounds_in_bands import enhance_in_bands
from dot_kernels.stages import through
from tests.support.networks.small_autoencoders import small


def tiny_codec(**options):
    """diffusers' architecture with random weights: factor 4, 3 latent channels; in float64."""
    return AutoencoderCodec(small("AutoencoderTiny", **options).double())


def variational_codec():
    """diffusers' architecture with random weights: factor 4, 2 latent channels; in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(4, 6, 8),
            norm_num_groups=2,
            latent_channels=2,
        )
    return AutoencoderCodec(module.double())


CODECS = {"tiny": tiny_codec, "kl": variational_codec}


def gaussian(rng, dimension):
    """Moments of random vectors, of which no two directions are alike."""
    mixing = torch.randn(dimension, dimension, generator=rng) / dimension**0.5
    samples = torch.randn(dimension * 4, dimension, generator=rng) @ mixing
    return GaussianMoments.of(samples + torch.randn(dimension, generator=rng) / 5)


def random_levels(rng, codec, sizes):
    """An operator of random maps, of latents and of the levels that ``sizes`` names."""
    latent = solve_transport(*(gaussian(rng, codec.channels) for _ in range(2)), ridge=0.1)
    levels = {
        level: solve_level(*(gaussian(rng, channels * sizes[level] ** 2) for _ in range(2)))
        for level, channels in enumerate(level_channels(codec))
        if level in sizes
    }
    return LevelledOperator(latent, levels)


def identity_operator(dimension):
    moments = GaussianMoments.of(torch.randn(dimension * 4, dimension))
    plain = solve_transport(moments, moments)
    zero = torch.zeros(dimension, dtype=torch.float64)
    return replace(plain, matrix=torch.eye(dimension).double(), source_mean=zero, target_mean=zero)


def images_like(rng, *shape):
    return torch.rand(*shape, generator=rng) * 0.6 + 0.2


# Stages


@pytest.mark.parametrize("build", CODECS.values(), ids=CODECS)
@torch.inference_mode()
def test_a_codec_decodes_through_its_stages_bit_for_bit(rng, build):
    codec = build()
    assert isinstance(codec, StagedCodec)
    latents = torch.randn(2, codec.channels, 6, 5, generator=rng)
    assert torch.equal(through(codec.stages, latents), codec.decode(latents))


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (tiny_codec, [(4, 5, 6), (4, 10, 12), (4, 20, 24)]),
        (variational_codec, [(8, 5, 6), (8, 10, 12), (6, 20, 24), (4, 20, 24)]),
    ],
    ids=CODECS,
)
def test_levels_are_where_resolution_changes(rng, build, shapes):
    codec = build()
    latents = torch.randn(1, codec.channels, 5, 6, generator=rng)
    shown = [level_activations(latents, codec, k) for k in range(len(shapes))]
    assert [tuple(each.shape[1:]) for each in shown] == shapes
    assert level_channels(codec) == tuple(shape[0] for shape in shapes)


@torch.inference_mode()
def test_activations_are_what_the_modules_of_the_network_hand_on(rng):
    codec, seen = variational_codec(), []
    decoder = codec.module.decoder
    for module in (decoder.mid_block, *decoder.up_blocks):
        module.register_forward_hook(lambda _, __, output: seen.append(output))
    latents = torch.randn(1, 2, 3, 4, generator=rng)
    codec.decode(latents)
    for level, expected in enumerate(list(seen)):
        assert torch.equal(level_activations(latents, codec, level), expected)


def test_a_tiny_autoencoder_with_layers_that_are_not_local_has_stages_too(rng):
    codec = tiny_codec(upsample_fn="bilinear")
    assert codec.decoder is None
    latents = torch.randn(1, 3, 4, 4, generator=rng)
    assert level_channels(codec) == (4, 4, 4)
    operator = random_levels(rng, codec, {0: 1, 2: 3})
    assert with_levels(codec, operator).decode(latents).shape == (1, 3, 16, 16)


# The moved decoder


@pytest.mark.parametrize("build", CODECS.values(), ids=CODECS)
def test_maps_that_leave_activations_as_they_are_give_the_plain_image_bit_for_bit(rng, build):
    codec = build()
    levels = {k: identity_operator(n) for k, n in enumerate(level_channels(codec))}
    operator = LevelledOperator(identity_operator(codec.channels), levels)
    latents = torch.randn(2, codec.channels, 6, 5, generator=rng)
    assert torch.equal(with_levels(codec, operator).decode(latents), codec.decode(latents))


def literal(activations, operator, size):
    """Every patch moved by itself, and averaged where patches overlap."""
    total, count = torch.zeros_like(activations), torch.zeros_like(activations)
    for top in range(activations.shape[2] - size + 1):
        for left in range(activations.shape[3] - size + 1):
            place = (..., slice(top, top + size), slice(left, left + size))
            for image in range(len(activations)):
                patch = activations[image][place].flatten()
                moved = operator.matrix @ (patch - operator.source_mean) + operator.target_mean
                total[image][place] += moved.view(-1, size, size)
                count[image][place] += 1
    return total / count


@pytest.mark.parametrize("sizes", [{0: 1, 1: 3, 2: 1}, {1: 2}, {0: 3, 2: 3}], ids=str)
@torch.inference_mode()
def test_a_moved_tiny_decoder_is_its_layers_with_each_patch_moved_by_itself(rng, sizes):
    codec = tiny_codec()
    operator = random_levels(rng, codec, sizes)
    latents = torch.randn(2, 3, 3, 4, generator=rng)
    layers = list(codec.module.decoder.layers)
    cuts = [i for i, layer in enumerate(layers) if isinstance(layer, torch.nn.Upsample)]
    cuts.append(len(layers) - 1)
    activations = torch.tanh(latents.double() / 3) * 3
    for index, layer in enumerate(layers):
        if index in cuts and (level := cuts.index(index)) in sizes:
            activations = literal(activations, operator.levels[level], sizes[level])
        activations = layer(activations)
    made = with_levels(codec, operator).decode(latents)
    assert_close(made, activations.float())


@torch.inference_mode()
def test_a_moved_variational_decoder_is_its_blocks_with_each_pixel_moved(rng):
    codec = variational_codec()
    operator = random_levels(rng, codec, {0: 1, 2: 1, 3: 3})
    latents = torch.randn(1, 2, 3, 4, generator=rng)
    module, decoder = codec.module, codec.module.decoder
    shown = decoder.mid_block(decoder.conv_in(module.post_quant_conv(latents.double())))
    shown = literal(shown, operator.levels[0], 1)
    shown = decoder.up_blocks[1](decoder.up_blocks[0](shown))
    shown = decoder.up_blocks[2](literal(shown, operator.levels[2], 1))
    shown = literal(shown, operator.levels[3], 3)
    image = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(shown)))
    assert_close(with_levels(codec, operator).decode(latents), (image / 2 + 0.5).float())


def test_a_codec_that_is_moved_leaves_the_other_as_it_is(rng):
    codec = tiny_codec()
    latents = torch.randn(1, 3, 4, 4, generator=rng)
    before = codec.decode(latents)
    moved = with_levels(codec, random_levels(rng, codec, {1: 1}))
    assert not torch.equal(moved.decode(latents), before)
    assert torch.equal(codec.decode(latents), before)
    assert torch.equal(moved.encode(before), codec.encode(before))


def test_a_network_in_half_precision_is_moved_in_float32(rng):
    codec = tiny_codec()
    codec.module.to(torch.bfloat16)
    operator = random_levels(rng, codec, {0: 1, 1: 3, 2: 1})
    latents = torch.randn(1, 3, 6, 6, generator=rng)
    made = with_levels(codec, operator).decode(latents)
    assert made.dtype == torch.float32
    codec.module.double()
    whole_precision = with_levels(codec, operator).decode(latents)
    assert float((made - whole_precision).abs().max()) < 0.05 * float(whole_precision.std()) + 0.05


# Tiles and bands


@pytest.mark.parametrize("sizes", [{0: 1, 1: 1, 2: 1}, {0: 3, 1: 3, 2: 3}, {2: 2}], ids=str)
@pytest.mark.parametrize("size", [(33, 47), (12, 90), (61, 13)])
def test_images_of_any_size_are_moved_in_tiles_as_in_one_piece(rng, size, sizes):
    codec = tiny_codec()
    operator = random_levels(rng, codec, sizes)
    images = images_like(rng, 2, 3, *size)
    made, tiled = (
        enhance(images, each, operator, [0.0, 0.4]) for each in (codec, TiledCodec(codec, 16))
    )
    assert TiledCodec(with_levels(codec, operator), 16).is_exact
    assert torch.equal(made, tiled)


def test_a_large_image_is_moved_band_by_band_as_in_one_piece(rng):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {0: 3, 1: 1, 2: 3})
    image = images_like(rng, 1, 3, 90, 40)
    tiled = TiledCodec(codec, 12)
    bands = enhance_in_bands(
        lambda: torch.split(image, 16, dim=2), (90, 40), tiled, operator, alpha=0.3
    )
    assert torch.equal(whole(bands), enhance(image, codec, operator, [0.3])[0])


@pytest.mark.parametrize("build", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("level", [0, 2])
def test_activations_of_a_large_image_come_in_bands(rng, build, level):
    codec = build()
    operator = random_levels(rng, codec, {0: 1})
    latents = torch.randn(2, codec.channels, 24, 10, generator=rng)
    one, tiled = (with_levels(each, operator) for each in (codec, TiledCodec(codec, 32)))
    bands = list(tiled.activations(latents, level + 1))
    expected = level_activations(latents, one, level)
    assert len(bands) > 1
    assert torch.cat(bands, dim=2).shape == expected.shape
    if build is tiny_codec:  # whose tiles are exact
        assert_close(torch.cat(bands, dim=2), expected)


def test_a_variational_codec_is_moved_in_blended_tiles_that_are_near_the_whole(rng):
    codec, heard = variational_codec(), []
    levels = {k: identity_operator(n) for k, n in enumerate(level_channels(codec))}
    operator = LevelledOperator(identity_operator(2), levels)
    latents = torch.randn(1, 2, 24, 20, generator=rng)
    plain, moved = TiledCodec(codec, 64), with_levels(TiledCodec(codec, 64, heard.append), operator)
    assert torch.equal(moved.decode(latents), plain.decode(latents))
    assert len(heard) == 1


def test_grey_images_are_moved_and_stay_grey(rng):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {0: 1, 2: 1})
    latents = torch.randn(1, 3, 4, 5, generator=rng)
    grey = with_levels(GreyCodec(TiledCodec(codec, 64)), operator).decode(latents)
    colour = with_levels(codec, operator).decode(latents)
    assert_close(grey, colour.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))


# Enhancement


@pytest.mark.parametrize("decoding", ["residual", "direct"])
def test_enhancement_decodes_moved_latents_by_the_moved_decoder(rng, decoding):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {0: 1, 1: 1})
    images = images_like(rng, 2, 3, 16, 20)
    latents = codec.encode(images)
    moved = with_levels(codec, operator).decode(transport_latents(latents, operator.latent))
    base = codec.decode(latents) if decoding == "residual" else images
    for alpha in (-0.2, 0.0, 0.5, 1.0):
        made = enhance(images, codec, operator, [alpha], decoding=decoding)[0]
        assert_close(made, (images + (1 - alpha) * (moved - base)).clamp(0, 1))


def test_at_alpha_one_the_images_come_back_bit_for_bit(rng):
    codec, images = tiny_codec(), images_like(rng, 1, 3, 16, 16)
    operator = random_levels(rng, codec, {0: 1, 1: 1, 2: 1})
    assert torch.equal(enhance(images, codec, operator, [1.0])[0], images)


def test_latent_interpolation_moves_activations_part_of_the_way(rng):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {0: 1, 2: 3})
    images = images_like(rng, 1, 3, 16, 16)

    def shrunk(part, alpha):
        matrix = (1 - alpha) * part.matrix + alpha * torch.eye(part.dimension)
        offset = (1 - alpha) * part.offset()
        return replace(
            part, matrix=matrix, source_mean=torch.zeros_like(offset), target_mean=offset
        )

    by_alpha = transport_images(images, codec, operator, decoding="direct", interpolation="latent")
    for alpha in (0.0, 0.3, 1.0):
        part = LevelledOperator(
            shrunk(operator.latent, alpha),
            {k: shrunk(each, alpha) for k, each in operator.levels.items()},
        )
        expected = enhance(images, codec, part, [0.0], decoding="direct")[0]
        assert_close(by_alpha.at(alpha), expected, rtol=1e-4, atol=1e-5)


def test_an_operator_without_levels_does_what_its_map_of_latents_does(rng):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {})
    images = images_like(rng, 1, 3, 16, 16)
    both = (enhance(images, codec, each, [0.0]) for each in (operator, operator.latent))
    assert torch.equal(*both)
    assert with_levels(codec, operator) is codec


def test_an_image_smaller_than_a_patch_of_a_level_is_enlarged(rng):
    codec = tiny_codec()
    operator = random_levels(rng, codec, {0: 3})
    assert least_side(operator, codec) == 3
    assert least_side(random_levels(rng, codec, {2: 3}), codec) == 1
    images = images_like(rng, 1, 3, 2, 5)
    assert enhance(images, codec, operator, [0.0]).shape == (1, 1, 3, 2, 5)


# The value


def test_maps_below_a_level_are_those_it_is_fitted_after(rng):
    operator = random_levels(rng, tiny_codec(), {0: 1, 1: 1, 2: 1})
    assert list(operator.below(2).levels) == [0, 1]
    assert operator.below(2).latent is operator.latent
    shuffled = LevelledOperator(operator.latent, dict(reversed(operator.levels.items())))
    assert list(shuffled.levels) == [0, 1, 2]


def test_an_operator_tells_of_latents_what_the_map_of_latents_tells(rng):
    operator = random_levels(rng, tiny_codec(), {0: 1})
    assert operator.diagnostics is operator.latent.diagnostics
    assert (operator.dimension, operator.is_stochastic) == (3, False)


def test_noise_at_a_level_is_refused(rng):
    flat = GaussianMoments.of(torch.randn(20, 1, generator=rng) @ torch.ones(1, 4))
    noisy = solve_transport(flat, gaussian(rng, 4), ridge=0.0)
    assert noisy.is_stochastic
    with pytest.raises(ValueError, match="levels must be without noise, got a stochastic one"):
        LevelledOperator(identity_operator(3), {0: noisy})


@pytest.mark.parametrize("codec", [PixelCodec(4), TiledCodec(PixelCodec(4), 64)], ids=type)
def test_levels_of_a_codec_that_has_none_are_refused(codec):
    operator = LevelledOperator(identity_operator(48), {0: identity_operator(4)})
    with pytest.raises(ValueError, match=r"among the 0 that .* got \[0\]; use the codec"):
        enhance(torch.zeros(1, 3, 8, 8), codec, operator, [0.0])


def test_levels_beyond_those_of_a_codec_are_refused(rng):
    codec = tiny_codec()
    operator = LevelledOperator(identity_operator(3), {3: identity_operator(4)})
    with pytest.raises(ValueError, match=r"among the 3 that .* got \[3\]"):
        with_levels(codec, operator)


def test_activations_of_other_channels_are_refused():
    operator = LevelledOperator(identity_operator(3), {0: identity_operator(5)})
    with pytest.raises(ValueError, match="operator must map patches of 4 channels, got 5"):
        with_levels(tiny_codec(), operator)


def test_moved_activations_keep_the_memory_of_one_copy_where_patches_are_single(rng):
    activations = torch.randn(1, 4, 6, 7, generator=rng)
    operator = identity_operator(4)
    assert isinstance(operator, TransportOperator)
    made = transport_latents(activations, operator)
    weight = operator.matrix.float()[:, :, None, None]
    assert torch.equal(made, functional.conv2d(activations, weight))


def test_a_network_of_another_kind_has_no_levels(rng):
    class Other(AutoencoderTiny):
        pass

    module = Other(
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    )
    codec = AutoencoderCodec(module)
    assert level_channels(codec) == ()
    assert with_levels(codec, LevelledOperator(identity_operator(4), {})) is codec
