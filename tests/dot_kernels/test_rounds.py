"""The method applied again to its own output."""

import pytest
import torch
from scipy import ndimage
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import (
    AutoencoderCodec,
    GreyCodec,
    LevelledOperator,
    PixelCodec,
    TiledCodec,
    TransportOperator,
    patch_moments,
    solve_transport,
    transport_images,
)
from dot_kernels.blending import whole
from dot_kernels.dials import LowBand, with_low_band
from dot_kernels.enhancement import at_each, encode_padded
from dot_kernels.level_fitting import solve_level
from dot_kernels.rounds import (
    Between,
    RepeatedOperator,
    generators_of_round,
    images_after,
    transport_in_rounds,
)
from dot_kernels.rounds_in_bands import enhance_in_bands, images_after_in_bands
from tests.support.networks.small_autoencoders import small

LOW = LowBand(share=0.25, sigma=1.5)


@pytest.fixture
def images(rng):
    return 0.3 + 0.4 * torch.rand(2, 3, 24, 32, generator=rng)


def tiny():
    """diffusers' architecture with random weights: factor 4, 3 latent channels."""
    module = small("AutoencoderTiny")
    twice = {name: 2 * weights for name, weights in module.state_dict().items()}
    module.load_state_dict(twice)  # else its images are as good as grey
    return AutoencoderCodec(module)


def fitted(rng, codec, size=3, **options):
    """A mild map between random images, of which those of the source are softer."""
    natural = torch.rand(4, 3, 64, 64, generator=rng)
    restored = 0.5 + 0.7 * (torch.rand(4, 3, 64, 64, generator=rng) - 0.5)
    sides = (patch_moments(codec.encode(each), size) for each in (restored, natural))
    return solve_transport(*sides, **options)


def levelled(rng, codec):
    """A map of latents and, at level 1, a random mild map of activations."""
    activations = torch.randn(2, 500, 4, generator=rng).double()
    size = (
        patch_moments(activations[:1].mT[..., None], 1),
        patch_moments(1.1 * activations[1:].mT[..., None] + 0.05, 1),
    )
    return LevelledOperator(fitted(rng, codec), {1: solve_level(*size)})


def by_hand(codec, image, operators, decoding, band):
    """What two rounds make of an image (1, 3, h, w), step by step, by the definitions."""
    x = image
    for operator in operators:
        latents = codec.encode(x)
        size = round((operator.dimension / latents.shape[1]) ** 0.5)
        patches = functional.unfold(latents, size)[0].mT.double()
        moved = (patches - operator.source_mean) @ operator.matrix.mT + operator.target_mean
        folded, counts = (
            functional.fold(each.mT[None].double(), latents.shape[2:], size)
            for each in (moved, torch.ones_like(moved))
        )
        decoded = codec.decode((folded / counts).float())
        change = decoded - (codec.decode(latents) if decoding == "residual" else x)
        if band is not None:
            low = ndimage.gaussian_filter(
                change.numpy(), band.sigma, mode="mirror", radius=5, axes=(2, 3)
            )
            change = change - (1 - band.share) * torch.from_numpy(low)
        unclipped = x + change
        x = unclipped.clamp(0, 1)
    return unclipped


@pytest.mark.parametrize("decoding", ["residual", "direct"])
@pytest.mark.parametrize("band", [None, LOW])
@pytest.mark.parametrize("build", [tiny, lambda: PixelCodec(2)])
def test_two_rounds_are_those_by_hand(rng, images, build, decoding, band):
    codec = build()
    operators = tuple(fitted(rng, codec, 1 if codec.factor == 2 else 3) for _ in range(2))
    operator = RepeatedOperator(operators, Between(decoding=decoding, low_band=band))
    with torch.inference_mode():
        moved = transport_in_rounds(images, codec, operator, decoding=decoding)
        dials = with_low_band(moved, band)
        for number, image in enumerate(images.split(1)):
            last = by_hand(codec, image, operators, decoding, band)
            for alpha in (0.0, 0.4, 1.3):
                expected = (image + (1 - alpha) * (last - image)).clamp(0, 1)
                assert_close(dials.at(alpha)[number : number + 1], expected, atol=2e-5, rtol=0)
    assert dials.at(1.0).equal(images)
    assert moved.latents.equal(codec.encode(images))


def test_the_last_round_at_alpha_0_is_the_method_on_what_the_first_made(rng, images):
    codec = tiny()
    first, second = (levelled(rng, codec) for _ in range(2))
    between = Between(low_band=LOW)
    once = images_after(images, codec, [first], between)
    assert once.equal(with_low_band(transport_images(images, codec, first), LOW).at(0.0))
    moved = transport_in_rounds(images, codec, RepeatedOperator((first, second), between))
    expected = with_low_band(transport_images(once, codec, second), LOW).at(0.0)
    assert_close(with_low_band(moved, LOW).at(0.0), expected)
    other = LowBand(share=0.75, sigma=1.5)  # of the map: a share of the last round alone
    expected = with_low_band(transport_images(once, codec, second), other).at(0.0)
    assert_close(with_low_band(moved, other).at(0.0), expected)


def test_three_rounds_are_two_and_one(rng, images):
    codec = PixelCodec(2)
    operators = tuple(fitted(rng, codec, 1) for _ in range(3))
    whole_chain = transport_in_rounds(images, codec, RepeatedOperator(operators, Between()))
    twice = images_after(images, codec, operators[:2], Between())
    assert_close(whole_chain.at(0.0), transport_images(twice, codec, operators[2]).at(0.0))


def test_a_single_round_is_what_it_was(rng, images):
    codec = PixelCodec(2)
    operator = fitted(rng, codec, 1)
    one, other = (f(images, codec, operator) for f in (transport_images, transport_in_rounds))
    assert at_each(one, [-0.5, 0.0, 0.3, 1.0]).equal(at_each(other, [-0.5, 0.0, 0.3, 1.0]))


def test_each_round_draws_noise_of_its_own_whatever_was_drawn_before(rng, images):
    codec = PixelCodec(1)
    flat = fitted(rng, codec, 1)
    noise = torch.eye(3, dtype=torch.float64) / 50
    noisy = TransportOperator(
        flat.matrix, flat.source_mean, flat.target_mean, noise, flat.diagnostics
    )
    generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    drawn = [
        torch.stack([torch.randn(4, generator=g) for g in generators_of_round(generators, number)])
        for number in (0, 1, 1, 2)
    ]
    assert drawn[1].equal(drawn[2])
    assert len({tuple(each.flatten().tolist()) for each in drawn}) == 3
    chains = RepeatedOperator((flat, noisy), Between()), RepeatedOperator((noisy, noisy), Between())
    for chain in chains:
        assert chain.is_stochastic
        made = [
            transport_in_rounds(
                images[:1], codec, chain, generators=[torch.Generator().manual_seed(3)]
            ).at(0.0)
            for _ in range(2)
        ]
        assert made[0].equal(made[1])


def in_bands(image, rows):
    return lambda: iter(torch.split(image, rows, dim=2))


@pytest.mark.parametrize(("decoding", "band"), [("residual", LOW), ("direct", None)])
def test_bands_give_the_bits_of_one_piece(rng, decoding, band):
    codec = tiny()
    image, rounds = torch.rand(1, 3, 47, 34, generator=rng), [levelled(rng, codec) for _ in "ab"]
    between = Between(decoding=decoding, low_band=band)
    for one_piece, is_grey in ((codec, False), (GreyCodec(codec), True)):
        expected = images_after(image, one_piece, rounds, between)
        first, bands = images_after_in_bands(
            in_bands(image, 20), (47, 34), TiledCodec(codec, 12), rounds, between, is_grey=is_grey
        )
        assert whole(bands()).equal(expected)
        assert whole(bands()).equal(expected)  # read again
        assert first.latents.equal(encode_padded(image, codec))


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("decoding", ["residual", "direct"])
@pytest.mark.parametrize("band", [None, LOW])
def test_an_enhanced_image_has_the_bits_of_one_piece(rng, band, decoding, is_grey):
    codec = tiny()
    image = torch.rand(1, 3, 47, 34, generator=rng)
    rounds = tuple(levelled(rng, codec) for _ in range(3))
    between = Between(decoding=decoding, low_band=band)
    operator = RepeatedOperator(rounds, between)
    size, tiled = (47, 34), TiledCodec(codec, 12)
    one_piece = GreyCodec(codec) if is_grey else codec
    moved = transport_in_rounds(image, one_piece, operator, decoding=decoding)
    expected, bands = with_low_band(moved, band), in_bands(image, 20)
    for alpha in (0.3, 1.0):
        found = enhance_in_bands(bands, size, tiled, operator, alpha, between, is_grey=is_grey)
        assert whole(found).equal(expected.at(alpha))
    assert expected.at(1.0).equal(image)


def test_what_is_no_sequence_of_rounds_is_refused(rng, images):
    operator = fitted(rng, PixelCodec(2), 1)
    with pytest.raises(ValueError, match="two at least, got 1"):
        RepeatedOperator((operator,), Between())
    twice = RepeatedOperator((operator, operator), Between())
    with pytest.raises(ValueError, match="interpolated as images"):
        transport_in_rounds(images, PixelCodec(2), twice, interpolation="latent")
    assert twice.dimension == operator.dimension
    assert twice.diagnostics is operator.diagnostics
