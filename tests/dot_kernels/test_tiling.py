import math

import pytest
import torch
from diffusers import AutoencoderKL
from torch.testing import assert_close

from dot_kernels import (
    AutoencoderCodec,
    Codec,
    LocalCodec,
    PixelCodec,
    SeamError,
    TiledCodec,
    enhance,
    patch_moments,
    solve_transport,
)
from tests.support.networks.small_autoencoders import small


def tiny_codec():
    """diffusers' architecture with random weights: factor 4, 3 latent channels; in float64."""
    return AutoencoderCodec(small("AutoencoderTiny").double())


def variational_codec():
    """diffusers' architecture with random weights: factor 2, 2 latent channels."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            norm_num_groups=2,
            latent_channels=2,
        )
    return AutoencoderCodec(module)


class GlobalCodec:
    """Factor 2; adds to every image the mean of its latents times ``share``."""

    factor, channels = 2, 3

    def __init__(self, share=0.0):
        self.share = share

    def encode(self, images):
        return torch.nn.functional.avg_pool2d(images, 2)

    def decode(self, latents):
        mean = latents.mean(dim=(1, 2, 3), keepdim=True)
        return latents.repeat_interleave(2, 2).repeat_interleave(2, 3) + self.share * mean


def images_like(rng, *shape):
    return torch.rand(*shape, generator=rng) * 0.6 + 0.2


# Chains of local layers


@pytest.mark.parametrize("is_flat", [False, True], ids=["deterministic", "stochastic"])
@pytest.mark.parametrize("size", [(33, 47), (3, 90), (61, 5)])
@pytest.mark.parametrize("build", [tiny_codec, lambda: PixelCodec(4)], ids=["tiny", "pixel"])
def test_images_of_any_size_are_enhanced_in_tiles_as_in_one_piece(rng, build, size, is_flat):
    codec = build()
    images = images_like(rng, 2, 3, *size)
    latents = codec.encode(images_like(rng, 8, 3, 48, 48))
    source = latents * torch.tensor([1.0, 0.5, 0.0 if is_flat else 0.8]).repeat(
        latents.shape[1] // 3
    ).view(-1, 1, 1)
    operator = solve_transport(patch_moments(source, 2), patch_moments(latents, 2), ridge=1e-3)
    assert operator.is_stochastic == is_flat
    whole, tiled = (
        enhance(
            images,
            each,
            operator,
            [0.0, 0.4],
            generators=[torch.Generator().manual_seed(seed) for seed in (3, 4)],
        )
        for each in (codec, TiledCodec(codec, 16))
    )
    assert torch.equal(whole, tiled)


def test_a_tiled_codec_is_a_codec_of_the_same_latents():
    tiled = TiledCodec(PixelCodec(4), 64)
    assert isinstance(tiled, Codec)
    assert (tiled.factor, tiled.channels) == (4, 48)


@pytest.mark.parametrize(
    ("codec", "is_local"),
    [(tiny_codec(), True), (PixelCodec(2), True), (variational_codec(), False)],
)
def test_a_codec_says_whether_its_networks_are_local(codec, is_local):
    assert isinstance(codec, LocalCodec)
    assert (codec.encoder is not None) == (codec.decoder is not None) == is_local


# Blending


@torch.inference_mode()
def test_images_up_to_a_tile_are_processed_whole_and_together(rng):
    codec = variational_codec()
    images = images_like(rng, 3, 3, 16, 64)
    tiled = TiledCodec(codec, 32, pytest.fail)
    latents = codec.encode(images)
    assert torch.equal(tiled.encode(images), latents)
    assert torch.equal(tiled.decode(latents), codec.decode(latents))


@pytest.mark.parametrize("size", [(66, 90), (2, 300), (120, 34), (34, 34)])
def test_blending_tiles_that_agree_changes_nothing(rng, size):
    codec, heard = GlobalCodec(), []
    images = images_like(rng, 2, 3, *size)
    tiled = TiledCodec(codec, 24, heard.append)
    latents = codec.encode(images)
    assert_close(tiled.encode(images), latents)
    assert_close(tiled.decode(latents), codec.decode(latents))
    assert [seams.largest for seams in heard] == [0.0, 0.0]
    assert all(seams.count > 0 for seams in heard)


def test_the_error_at_a_seam_is_the_difference_of_the_two_tiles():
    # Two tiles of 18 × 21 latents have six columns in common: twelve of the image. With latents 0
    # left of the middle and 1 right of it, the means of the tiles are 1/7 and 6/7.
    latents = torch.zeros(1, 3, 18, 36)
    latents[..., 18:] = 1.0
    heard = []
    image = TiledCodec(GlobalCodec(share=-0.1), 48, heard.append).decode(latents)
    left, right = -0.1 / 7, -0.6 / 7
    ramp = (torch.arange(12) + 0.5) / 12
    expected = latents[0, 0, 0].repeat_interleave(2)
    expected += torch.cat([torch.zeros(30), ramp, torch.ones(30)]) * (right - left) + left
    assert_close(image[0, 1, 7], expected)
    # Left of the middle both are clipped at 0; right of it neither is clipped.
    assert heard[0].count == 3 * 36 * 12
    assert heard[0].largest == pytest.approx(255 * (left - right), rel=1e-4)
    assert heard[0].rms == pytest.approx(255 * (left - right) / math.sqrt(2), rel=1e-4)


@torch.inference_mode()
def test_a_variational_autoencoder_in_tiles_is_near_the_whole_and_has_seams(rng):
    codec, heard = variational_codec(), []
    images = images_like(rng, 1, 3, 96, 80)
    tiled = TiledCodec(codec, 64, heard.append)
    latents = codec.encode(images)
    assert tiled.encode(images).shape == latents.shape
    made, whole = tiled.decode(latents), codec.decode(latents)
    assert made.shape == whole.shape
    (seams,) = heard
    assert 0 < seams.rms < seams.largest
    assert float((made - whole).abs().max()) * 255 < 3 * max(seams.largest, 1)


def test_errors_at_seams_add_in_any_order_and_have_a_zero():
    first, second = SeamError(4, 16.0, 3.0), SeamError(12, 48.0, 2.5)
    assert first + second == second + first == SeamError(16, 64.0, 3.0)
    assert first + SeamError() == first
    assert (first + second).rms == 2.0
    assert SeamError().rms == 0.0
