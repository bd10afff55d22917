"""TAEF2 against its description, layer by layer, and against what others have measured."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional
from torch.testing import assert_close

from dot_kernels import AutoencoderCodec
from dot_kernels.metrics import peak_signal_to_noise_ratio
from dot_kernels.taef2 import Taef2


def random_network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Taef2().eval()


def convolution(values, tensors, name, stride=1):
    weight = tensors[f"{name}.weight"]
    bias, padding = tensors.get(f"{name}.bias"), weight.shape[2] // 2
    return functional.conv2d(values, weight, bias, stride=stride, padding=padding)


def block(values, tensors, place):
    if f"{place}.pool.0.weight" in tensors:
        inner = convolution(values, tensors, f"{place}.pool.0")
        groups = inner.unflatten(1, (4, 64))
        mean = groups.mean(dim=(2, 3, 4), keepdim=True)
        variance = groups.var(dim=(2, 3, 4), keepdim=True, correction=0)
        inner = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        scale, shift = (tensors[f"{place}.pool.1.{name}"] for name in ("weight", "bias"))
        inner = (inner * scale[:, None, None] + shift[:, None, None]).clamp(min=0)
        values = values + convolution(inner, tensors, f"{place}.pool.3")
    inner = values
    for layer in (0, 2):
        inner = convolution(inner, tensors, f"{place}.conv.{layer}").clamp(min=0)
    return (values + convolution(inner, tensors, f"{place}.conv.4")).clamp(min=0)


def encoded(images, tensors):
    values = convolution(images, tensors, "0")
    for place in range(1, 14):
        if place in (2, 6, 10):
            values = convolution(values, tensors, str(place), stride=2)
        else:
            values = block(values, tensors, str(place))
    return convolution(values, tensors, "14")


def decoded(latents, tensors):
    values = convolution(3 * torch.tanh(latents / 3), tensors, "1").clamp(min=0)
    for place in range(3, 19):
        if place in (6, 11, 16):
            values = values.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        elif place in (7, 12, 17):
            values = convolution(values, tensors, str(place))
        else:
            values = block(values, tensors, str(place))
    return convolution(values, tensors, "19")


def test_the_network_with_random_weights_is_what_its_description_says(rng):
    module = random_network()
    for norm in (each for each in module.modules() if isinstance(each, torch.nn.GroupNorm)):
        norm.weight.data.uniform_(0.5, 1.5, generator=rng)
        norm.bias.data.uniform_(-0.5, 0.5, generator=rng)
    codec, images = AutoencoderCodec(module), torch.rand(2, 3, 24, 16, generator=rng)
    latents = codec.encode(images)
    assert (codec.factor, codec.channels, latents.shape) == (8, 32, (2, 32, 3, 2))
    assert_close(latents, encoded(images, module.encoder.state_dict()), rtol=1e-4, atol=1e-5)
    expected = decoded(4 * latents, module.decoder.state_dict())
    assert_close(codec.decode(4 * latents), expected, rtol=1e-4, atol=1e-5)


def test_an_image_does_not_change_what_another_of_its_batch_becomes(rng):
    codec, images = AutoencoderCodec(random_network()), torch.rand(2, 3, 16, 16, generator=rng)
    assert_close(codec.encode(images)[:1], codec.encode(images[:1]))


def test_it_is_no_chain_of_local_layers_as_its_norms_see_the_whole_image():
    codec = AutoencoderCodec(random_network())
    assert (codec.encoder, codec.decoder) == (None, None)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("05", 27.5),
        pytest.param("19", 29.6, marks=pytest.mark.slow),
        pytest.param("23", 32.7, marks=pytest.mark.slow),
    ],
)
def test_photographs_come_back_as_well_as_with_the_published_network(test_data, image, expected):
    folder = test_data / "weights" / "taef2"
    path = test_data / "images" / "kodak24" / f"kodim{image}.png"
    if not folder.is_dir() or not path.is_file():
        pytest.skip(f"no weights of TAEF2, or no photographs, at {test_data}")
    module = Taef2()
    module.encoder.load_state_dict(load_file(folder / "encoder.safetensors"))
    module.decoder.load_state_dict(load_file(folder / "decoder.safetensors"))
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB")))[:496, :496]
    images, codec = pixels.permute(2, 0, 1)[None] / 255, AutoencoderCodec(module)
    error = (codec.decode(codec.encode(images)).clamp(0, 1) - images).square().mean()
    assert peak_signal_to_noise_ratio(float(error)) == pytest.approx(expected, abs=0.1)


def test_its_decoder_has_a_stage_for_every_resolution_and_the_last_convolution(rng):
    codec = AutoencoderCodec(random_network())
    assert [stage.upsampling for stage in codec.stages] == [1, 2, 2, 2, 1]
    latents = torch.randn(1, 32, 3, 2, generator=rng)
    assert_close(codec.with_stages(codec.stages).decode(latents), codec.decode(latents))
