import pytest
import torch
from diffusers import AutoencoderTiny
from torch import nn

from dot_kernels import AutoencoderCodec, PixelCodec
from dot_kernels.local_layers import LocalLayer
from dot_kernels.local_networks import LocalNetwork, tiles_of


def tiny_codec(channels=4, blocks=(1, 1, 1)):
    """diffusers' architecture with random weights: factor 4, 3 latent channels."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoencoderCodec(
            AutoencoderTiny(
                encoder_block_out_channels=(channels,) * 3,
                decoder_block_out_channels=(channels,) * 3,
                num_encoder_blocks=blocks,
                num_decoder_blocks=blocks[::-1],
                latent_channels=3,
            )
        )


@torch.inference_mode()
def assert_tiles_are_exact(codec, images, tile):
    latents = codec.encode(images)
    assert torch.equal(codec.encoder.in_tiles(images, tile**2), latents)
    assert torch.equal(codec.decoder.in_tiles(latents, tile**2), codec.decode(latents))


# In float64, rounded to float32 at the end, the order in which a kernel sums has no effect.
@pytest.mark.parametrize("size", [(4, 4), (4, 72), (72, 4), (44, 60)])
@pytest.mark.parametrize("tile", [8, 24])
def test_tiles_of_a_tiny_autoencoder_have_the_bits_of_the_whole(rng, size, tile):
    codec = tiny_codec()
    codec.module.double()
    assert_tiles_are_exact(codec, torch.rand(1, 3, *size, generator=rng), tile)


def test_tiles_of_one_pixel_have_the_bits_of_the_whole(rng):
    codec = tiny_codec()
    codec.module.double()
    assert_tiles_are_exact(codec, torch.rand(1, 3, 8, 12, generator=rng), 1)


def test_tiles_of_a_deep_tiny_autoencoder_have_the_bits_of_the_whole(rng):
    codec = tiny_codec(blocks=(2, 3, 3))
    codec.module.double()
    assert_tiles_are_exact(codec, torch.rand(1, 3, 48, 64, generator=rng), 24)


def test_tiles_in_float32_have_the_bits_of_the_whole_in_the_kernels_for_large_inputs(rng):
    codec = tiny_codec(channels=8)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        codec.module.to(memory_format=memory_format)
        assert_tiles_are_exact(codec, torch.rand(1, 3, 204, 212, generator=rng), 160)


def test_each_image_of_a_batch_is_cut_into_tiles(rng):
    codec = tiny_codec()
    codec.module.double()
    images = torch.rand(3, 3, 40, 32, generator=rng)
    with torch.inference_mode():
        tiled = codec.encoder.in_tiles(images, 16**2)
        assert torch.equal(tiled, torch.cat([codec.encode(each) for each in images.split(1)]))


def test_tiles_of_a_module_in_bfloat16_are_rounded_as_the_whole(rng):
    codec = tiny_codec()
    codec.module.to(torch.bfloat16)
    images = torch.rand(1, 3, 40, 32, generator=rng)
    with torch.inference_mode():
        latents = codec.encode(images)
        tiled = codec.encoder.in_tiles(images, 16**2)
        assert tiled.dtype == torch.float32
        torch.testing.assert_close(tiled, latents, rtol=0.02, atol=0.02)
        decoded = codec.decoder.in_tiles(latents, 16**2)
        torch.testing.assert_close(decoded, codec.decode(latents), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("factor", [1, 3, 8])
def test_tiles_of_the_pixel_codec_have_the_bits_of_the_whole(rng, factor):
    images = torch.rand(2, 3, 7 * factor, 5 * factor, generator=rng)
    assert_tiles_are_exact(PixelCodec(factor), images, 2 * factor)


@torch.inference_mode()
def test_no_pixel_beyond_the_reach_has_an_effect_and_one_within_has(rng):
    codec = tiny_codec()
    reach = codec.encoder.reach
    # Down: 1 + 3 at full resolution, 2 × 3 + 1 at half, 4 × (3 + 1) + 2 at a quarter.
    assert reach == codec.decoder.reach == 29
    images = torch.rand(1, 3, 8, 128, generator=rng)
    changed = images.clone()
    changed[..., 64] = 9.0
    differs = (codec.encode(images) != codec.encode(changed)).any(dim=2)[0].any(dim=0)
    places = differs.nonzero()[:, 0] * 4
    assert places.min() >= 64 - reach - 3
    assert places.max() <= 64 + reach
    assert places.max() - places.min() > reach


def test_the_reach_of_the_pixel_codec_ends_at_its_block():
    assert PixelCodec(8).encoder.reach == 7
    assert PixelCodec(8).decoder.reach == 0


@pytest.mark.parametrize(
    ("height", "width", "area", "count"),
    [(10, 10, 100, 1), (10, 10, 99, 4), (1, 1000, 100, 10), (1000, 1, 100, 10), (7, 5, 1, 35)],
)
def test_tiles_cover_an_image_once_and_are_no_larger_than_allowed(height, width, area, count):
    covered = torch.zeros(height, width)
    tiles = list(tiles_of(height, width, area))
    for down, across in tiles:
        assert 0 < len(down) * len(across) <= area
        covered[down.start : down.stop, across.start : across.stop] += 1
    assert len(tiles) == count
    assert bool((covered == 1).all())


def test_tiles_of_an_image_are_of_about_equal_size():
    areas = [len(down) * len(across) for down, across in tiles_of(1001, 1500, 512**2)]
    assert max(areas) < 1.02 * min(areas)


@torch.inference_mode()
def test_a_tile_and_what_it_reaches_is_all_that_a_layer_sees(rng):
    seen = []

    def look(tensor):
        seen.append(tuple(tensor.shape[2:]))
        return convolution(tensor)

    convolution = nn.Conv2d(3, 3, 5, padding=2)
    network = LocalNetwork((LocalLayer(apply=look, channels=3, kernel=5, padding=2),))
    network.in_tiles(torch.rand(1, 3, 30, 40, generator=rng), 3 * 10**2)
    assert seen
    assert max(height * width for height, width in seen) <= (17 + 4) ** 2


def test_an_autoencoder_with_a_layer_that_is_not_local_has_no_local_networks():
    codec = tiny_codec()
    codec.module.encoder.layers.append(nn.GroupNorm(1, 3))
    assert codec.encoder is None
    assert codec.decoder is not None
