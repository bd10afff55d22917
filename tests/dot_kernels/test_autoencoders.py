from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import nn
from torch.testing import assert_close

from dot_kernels import AutoencoderCodec


def tiny_autoencoder():
    """diffusers' architecture, small, with random weights: factor 4, 3 channels."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoencoderTiny(
            encoder_block_out_channels=(4, 4, 4),
            decoder_block_out_channels=(4, 4, 4),
            num_encoder_blocks=(1, 1, 1),
            num_decoder_blocks=(1, 1, 1),
            latent_channels=3,
        )


def variational_autoencoder():
    """diffusers' architecture, small, with random weights: factor 2, 5 channels."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            norm_num_groups=2,
            latent_channels=5,
        )


def draw_images(rng, *shape):
    return torch.rand(*shape, generator=rng)


def test_codec_of_a_tiny_autoencoder_with_random_weights_is_that_of_diffusers(rng):
    module = tiny_autoencoder()
    codec = AutoencoderCodec(module)
    images = draw_images(rng, 2, 3, 12, 8)
    latents = codec.encode(images)
    assert (codec.factor, codec.channels) == (4, 3)
    assert latents.shape == (2, 3, 3, 2)
    assert_close(latents, module.encode(images * 2 - 1).latents)
    assert_close(codec.decode(latents), module.decode(latents).sample / 2 + 0.5)


def test_codec_of_a_variational_autoencoder_with_random_weights_is_that_of_diffusers(rng):
    module = variational_autoencoder()
    codec = AutoencoderCodec(module)
    images = draw_images(rng, 2, 3, 12, 8)
    latents = codec.encode(images)
    assert (codec.factor, codec.channels) == (2, 5)
    assert latents.shape == (2, 5, 6, 4)
    assert_close(latents, module.encode(images * 2 - 1).latent_dist.mean)
    assert_close(codec.decode(latents), module.decode(latents).sample / 2 + 0.5)


def test_variational_latents_are_the_mode_and_no_sample(rng):
    codec = AutoencoderCodec(variational_autoencoder())
    images = draw_images(rng, 1, 3, 8, 8)
    assert torch.equal(codec.encode(images), codec.encode(images))


@pytest.mark.parametrize("build", [tiny_autoencoder, variational_autoencoder])
def test_a_module_keeps_its_dtype_while_images_and_latents_are_float32(rng, build):
    module = build().to(torch.bfloat16)
    codec = AutoencoderCodec(module)
    images = draw_images(rng, 1, 3, 8, 8)
    latents = codec.encode(images)
    assert next(module.parameters()).dtype == torch.bfloat16
    assert latents.dtype == codec.decode(latents).dtype == torch.float32


def test_a_module_is_frozen_and_set_to_evaluation():
    module = tiny_autoencoder().train()
    codec = AutoencoderCodec(module)
    assert not codec.module.training
    assert not any(parameter.requires_grad for parameter in codec.module.parameters())


class NetworkWithConfig(nn.Module):
    def __init__(self, **config):
        super().__init__()
        self.config = SimpleNamespace(**config)


@pytest.mark.parametrize(
    "module",
    [
        NetworkWithConfig(),
        NetworkWithConfig(latent_channels=4),
        NetworkWithConfig(block_out_channels=(4, 4)),
        nn.Linear(1, 1),
    ],
    ids=["empty config", "no widths", "no latents", "no config"],
)
def test_a_module_that_is_no_autoencoder_is_refused(module):
    with pytest.raises(TypeError, match=f"AutoencoderTiny, got {type(module).__name__}"):
        AutoencoderCodec(module)
