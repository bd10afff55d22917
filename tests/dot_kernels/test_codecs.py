import pytest
import torch
from torch.testing import assert_close

from dot_kernels import GreyCodec, PixelCodec


def draw_images(rng, *shape):
    return torch.rand(*shape, generator=rng)


# PixelCodec


@pytest.mark.parametrize("factor", [1, 2, 3, 8])
def test_pixel_codec_gives_the_image_back_bit_for_bit(rng, factor):
    codec = PixelCodec(factor)
    images = draw_images(rng, 2, 3, 4 * factor, 3 * factor)
    latents = codec.encode(images)
    assert latents.shape == (2, codec.channels, 4, 3)
    assert torch.equal(codec.decode(latents), images)


def test_pixel_codec_gives_latents_back_bit_for_bit(rng):
    codec = PixelCodec(4)
    latents = draw_images(rng, 2, 48, 3, 5)
    assert torch.equal(codec.encode(codec.decode(latents)), latents)


def test_a_latent_of_the_pixel_codec_is_one_block_of_the_image(rng):
    images = draw_images(rng, 1, 3, 4, 6)
    latents = PixelCodec(2).encode(images)
    assert torch.equal(latents[0, :, 1, 2], images[0, :, 2:4, 4:6].flatten())


def test_pixel_codec_takes_blocks_of_eight_unless_told():
    assert (PixelCodec().factor, PixelCodec().channels) == (8, 192)


def test_a_pixel_codec_with_a_factor_below_one_is_refused():
    with pytest.raises(ValueError, match="factor must be at least 1, got 0"):
        PixelCodec(0)


def test_a_grey_codec_gives_the_nearest_grey_image_of_what_it_decodes(rng):
    codec, latents = PixelCodec(2), torch.rand(2, 12, 4, 5, generator=rng)
    images = GreyCodec(codec).decode(latents)
    expected = codec.decode(latents).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert_close(images, expected)
    assert torch.equal(GreyCodec(codec).encode(images), codec.encode(images))
