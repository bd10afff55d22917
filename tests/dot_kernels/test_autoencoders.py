from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import AutoencoderCodec, enhance, patch_moments, solve_transport
from tests.support.networks.small_autoencoders import SMALL, WITH_FRAMES, small


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
    module = small("AutoencoderTiny")
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


@pytest.mark.parametrize("build", [lambda: small("AutoencoderTiny"), variational_autoencoder])
def test_a_module_keeps_its_dtype_while_images_and_latents_are_float32(rng, build):
    module = build().to(torch.bfloat16)
    codec = AutoencoderCodec(module)
    images = draw_images(rng, 1, 3, 8, 8)
    latents = codec.encode(images)
    assert next(module.parameters()).dtype == torch.bfloat16
    assert latents.dtype == codec.decode(latents).dtype == torch.float32


def test_a_module_is_frozen_and_set_to_evaluation():
    module = small("AutoencoderTiny").train()
    codec = AutoencoderCodec(module)
    assert not codec.module.training
    assert not any(parameter.requires_grad for parameter in codec.module.parameters())


class Network(nn.Module):
    """Encodes and decodes as it is told."""

    def __init__(self, encode, decode, **config):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.encode = lambda images: SimpleNamespace(latents=encode(images))
        self.decode = lambda latents: SimpleNamespace(sample=decode(latents))
        self.config = SimpleNamespace(**config)


def halved(images):
    return functional.avg_pool2d(images, 2)


def doubled(latents):
    return latents.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nn.Linear(1, 1), "got Linear, which cannot take them: .* has no attribute 'encode'"),
        (
            Network(lambda images: images[:, :2], lambda latents: latents),
            r"got Network, which takes \(1, 3, 256, 512\) to \(1, 2, 256, 512\) to \(1, 2, ",
        ),
        (Network(lambda images: images[:, :, 0], lambda latents: latents), "which takes"),
        (Network(lambda images: images[..., :7], lambda latents: latents), "which takes"),
        (Network(lambda images: images[:, :, :0], lambda latents: latents), "which takes"),
        (Network(lambda images: images[:, :, None], lambda latents: latents[:, :, 0]), "takes"),
        (Network(lambda images: images.fft(), lambda latents: latents), "cannot take them"),
    ],
    ids=["no network", "two channels", "rows", "narrow", "nothing", "frames", "broken"],
)
def test_a_module_that_is_no_autoencoder_of_images_is_refused(module, said):
    with pytest.raises(TypeError, match=f"for RGB images, {said}|{said}"):
        AutoencoderCodec(module)


def test_channels_of_different_scale_are_brought_to_the_one_that_a_configuration_names(rng):
    mean, deviation = [0.1, 0.2, 0.3], [1.0, 2.0, 4.0]
    codec = AutoencoderCodec(Network(halved, doubled, latents_mean=mean, latents_std=deviation))
    images = draw_images(rng, 2, 3, 8, 6)
    latents = codec.encode(images)
    expected = halved(images * 2 - 1) - torch.tensor(mean)[:, None, None]
    assert_close(latents, expected / torch.tensor(deviation)[:, None, None])
    assert_close(codec.decode(latents), doubled(halved(images)))


def test_of_the_scales_of_several_frames_those_of_the_first_are_taken(rng):
    one = AutoencoderCodec(
        Network(halved, doubled, latents_mean=[0.0] * 3, latents_std=[1.0, 2.0, 4.0])
    )
    several = AutoencoderCodec(
        Network(halved, doubled, latents_mean=[0.0, 9.0] * 3, latents_std=[1.0, 9, 2, 9, 4, 9])
    )
    images = draw_images(rng, 1, 3, 4, 4)
    assert torch.equal(one.encode(images), several.encode(images))


@pytest.mark.parametrize("numbers", [[], [1.0] * 4])
def test_scales_of_other_channels_are_refused(numbers):
    module = Network(halved, doubled, latents_mean=[0.0] * 3, latents_std=numbers)
    with pytest.raises(TypeError, match=f"for 3 channels, got 3 and {len(numbers)}"):
        AutoencoderCodec(module)


class Rescaled:
    """A codec whose latents are multiplied by one number and shifted by one for each channel."""

    def __init__(self, codec, scale, shift):
        self.codec, self.factor, self.channels = codec, codec.factor, codec.channels
        self.scale, self.shift = scale, shift[:, None, None]

    def encode(self, images):
        return self.codec.encode(images) * self.scale + self.shift

    def decode(self, latents):
        return self.codec.decode((latents - self.shift) / self.scale)


def test_one_scale_for_all_channels_and_a_shift_of_each_change_no_enhanced_image(rng):
    """Which is why the scaling factor and the shift of a configuration are left out."""
    plain = AutoencoderCodec(Network(halved, doubled))
    restored = draw_images(rng, 4, 3, 32, 32)
    natural = 0.5 * restored + 0.5 * draw_images(rng, 4, 3, 32, 32)
    enhanced = []
    for codec in (plain, Rescaled(plain, 0.18215, torch.tensor([0.3, -0.1, 2.0]))):
        source, target = (patch_moments(codec.encode(each), 1) for each in (restored, natural))
        operator = solve_transport(source, target)
        enhanced.append(enhance(restored, codec, operator, [0.0]))
    assert_close(enhanced[0], enhanced[1], rtol=0, atol=1e-4)  # latents are float32
    assert (enhanced[0] - restored).abs().max() > 0.01


# Every class of diffusers that has latents of single images


@pytest.mark.parametrize("name", sorted(SMALL))
def test_codec_of_every_image_autoencoder_with_random_weights_is_that_of_diffusers(name, rng):
    module = small(name)
    codec = AutoencoderCodec(module)
    images = draw_images(rng, 2, 3, 2 * codec.factor, 3 * codec.factor)
    latents = codec.encode(images)
    assert latents.shape == (2, codec.channels, 2, 3)
    assert latents.isfinite().all()
    assert_close(latents, codec.encode(images))
    decoded = codec.decode(latents)
    assert decoded.shape == images.shape
    assert_close(latents[:1], codec.encode(images[:1]), rtol=1e-3, atol=1e-4)
    given = (images * 2 - 1)[:, :, None] if name in WITH_FRAMES else images * 2 - 1
    with torch.no_grad():
        answer = module.encode(given)
        posterior = getattr(answer, "latent_dist", None)
        raw = posterior.mode() if posterior else getattr(answer, "latent", None)
        raw = answer.latents if raw is None else raw
        options = {"num_frames": 1} if name == "AutoencoderKLTemporalDecoder" else {}
        expected = module.decode(raw, **options).sample
    assert_close(decoded, (expected[:, :, 0] if name in WITH_FRAMES else expected) / 2 + 0.5)


def test_factor_and_channels_are_those_of_the_network_and_not_of_its_configuration():
    module = small("AutoencoderDC")
    module.register_to_config(encoder_block_out_channels=(1,) * 9, latent_channels=7)
    codec = AutoencoderCodec(module)
    assert (codec.factor, codec.channels) == (2, 8)


def test_threads_that_share_a_network_of_frames_do_not_disturb_each_other(rng):
    codec = AutoencoderCodec(small("AutoencoderKLWan"))
    images = [draw_images(rng, 1, 3, 32, 32) for _ in range(8)]
    alone = [codec.encode(each) for each in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(codec.encode, images))
    for one, other in zip(alone, together, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_stages_give_what_the_network_gives_where_there_are_any(name, rng):
    codec = AutoencoderCodec(small(name))
    latents = draw_images(rng, 1, codec.channels, 4, 4)
    if name in ("AutoencoderKL", "AutoencoderTiny", "AutoencoderKLFlux2"):
        assert_close(codec.with_stages(codec.stages).decode(latents), codec.decode(latents))
    else:
        assert codec.stages == ()
