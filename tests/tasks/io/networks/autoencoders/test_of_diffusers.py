"""Auto-encoders of every class from folders as diffusers saves them, with small random weights."""

import json

import pytest
import torch
from diffusers.models import autoencoders

from dot_kernels import AutoencoderCodec
from tasks.direct.known_codecs import codec_named
from tasks.fit.latent_size import latent_size
from tasks.io.errors import WeightsMissing
from tasks.io.networks.autoencoders.of_diffusers import IMAGE_CLASSES, factor_in, kind_of
from tasks.io.networks.codecs import Autoencoder, load_codec
from tasks.io.networks.weights import FROM_THIS_MACHINE
from tests.support.networks.small_autoencoders import SMALL, small


def test_there_is_a_small_one_of_every_class_that_is_known():
    assert SMALL.keys() == set(IMAGE_CLASSES)


@pytest.mark.parametrize("name", IMAGE_CLASSES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_saved_folder_of_every_class_is_loaded_as_a_codec(name, precision, tmp_path, rng):
    module = small(name)
    module.save_pretrained(tmp_path)
    spec = codec_named(str(tmp_path))
    codec, exact = load_codec(spec, "cpu", precision), AutoencoderCodec(module)
    images = torch.rand(1, 3, 4 * exact.factor, 4 * exact.factor, generator=rng)
    latents, expected = codec.encode(images), exact.encode(images)
    scale = float(expected.abs().max())
    tolerance = 1e-4 if precision == "float32" else 0.1  # 8 bits of mantissa, a dozen layers
    torch.testing.assert_close(latents, expected, rtol=0, atol=tolerance * scale)
    if precision == "float32":
        torch.testing.assert_close(codec.decode(expected), exact.decode(expected))


@pytest.mark.parametrize("name", IMAGE_CLASSES)
def test_the_size_of_latents_is_told_by_the_configuration_where_this_says_it(name, tmp_path):
    small(name).save_pretrained(tmp_path)
    spec = codec_named(str(tmp_path))
    told, loaded = latent_size(spec, FROM_THIS_MACHINE), load_codec(spec, "cpu", "float32")
    options = json.loads((tmp_path / "config.json").read_text("utf-8"))
    if told is None:
        assert factor_in(options) is None
    else:
        assert (told.channels, told.factor) == (loaded.channels, loaded.factor)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AutoencoderKL", "autoencoder-kl"),
        ("AutoencoderTiny", "autoencoder-tiny"),
        ("AutoencoderDC", "autoencoder"),
        ("AutoencoderOobleck", None),
    ],
)
def test_a_folder_says_which_kind_of_codec_it_is_for(name, kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": name}))
    assert kind_of(tmp_path) == kind


def test_kind_autoencoder_takes_the_classes_of_the_other_kinds_too(tmp_path):
    small("AutoencoderTiny").save_pretrained(tmp_path)
    codec = load_codec(Autoencoder(kind="autoencoder", weights=str(tmp_path)), "cpu", "float32")
    assert (codec.factor, codec.channels) == (4, 3)


@pytest.mark.parametrize(
    "name", ["AutoencoderOobleck", "ConsistencyDecoderVAE", "AutoencoderKLAllegro", "UNet2DModel"]
)
def test_classes_for_other_things_are_refused_with_those_that_are_known(name, tmp_path):
    """One of sound, one that draws noise, one that wants several frames, and no auto-encoder."""
    small("AutoencoderDC").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8")) | {"_class_name": name}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    spec = Autoencoder(kind="autoencoder", weights=str(tmp_path))
    said = rf"of single images, .* got {name} as _class_name .*AutoencoderKLWan"
    with pytest.raises(WeightsMissing, match=said):
        load_codec(spec, "cpu", "float32")


def test_a_folder_that_does_not_say_its_class_is_refused_by_kind_autoencoder(tmp_path):
    small("AutoencoderDC").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["_class_name"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    spec = Autoencoder(kind="autoencoder", weights=str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"got no as _class_name of its config.json"):
        load_codec(spec, "cpu", "float32")


@pytest.mark.parametrize("name", ["AutoencoderKLWan", "AutoencoderDC"])
def test_a_network_for_other_channels_than_rgb_is_refused_in_a_sentence(name, tmp_path):
    options = SMALL[name] | {"in_channels": 4}
    getattr(autoencoders, name)(**options).save_pretrained(tmp_path)
    spec = Autoencoder(kind="autoencoder", weights=str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"RGB images.* (4 channels|which cannot take them)"):
        load_codec(spec, "cpu", "float32")


def test_scales_of_another_number_of_channels_are_refused_in_a_sentence(tmp_path):
    options = SMALL["AutoencoderKLWan"] | {"latents_std": [1.0] * 3}
    autoencoders.AutoencoderKLWan(**options).save_pretrained(tmp_path)
    spec = Autoencoder(kind="autoencoder", weights=str(tmp_path))
    with pytest.raises(WeightsMissing, match="numbers for 4 channels, got 4 and 3"):
        load_codec(spec, "cpu", "float32")
