"""Codecs from files in the real format, with small random weights."""

import hashlib
import json
from logging import getLogger
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file, save_file

from dot_kernels import AutoencoderCodec, PixelCodec
from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.machine.devices import pick_device
from tasks.io.networks.codecs import Autoencoder, Pixel, codec_identity, load_codec
from tasks.io.networks.digests import digest

WEIGHTS = "diffusion_pytorch_model.safetensors"


def small_kl():
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
        sample_size=16,
    )


def small_tiny():
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    )


@pytest.fixture(params=["autoencoder-kl", "autoencoder-tiny"])
def saved(request, tmp_path):
    """An auto-encoder, saved as diffusers does, and what a configuration says of it."""
    torch.manual_seed(0)  # diffusers initialises from the global state
    module = small_kl() if request.param == "autoencoder-kl" else small_tiny()
    module.save_pretrained(tmp_path / "codec")
    return module.eval(), Autoencoder(kind=request.param, weights=str(tmp_path / "codec"))


def digest_of(spec):
    return hashlib.sha256((Path(spec.weights) / WEIGHTS).read_bytes()).hexdigest()


def test_a_loaded_codec_with_random_weights_encodes_and_decodes_as_diffusers_does(saved, rng):
    module, spec = saved
    codec = load_codec(spec, "cpu", "float32")
    assert isinstance(codec, AutoencoderCodec)
    assert (codec.factor, codec.channels) == (2, 4)
    images = torch.rand(2, 3, 16, 24, generator=rng)
    with torch.no_grad():
        answer = module.encode(images * 2 - 1)
        latents = answer.latents if hasattr(answer, "latents") else answer.latent_dist.mode()
        decoded = module.decode(latents).sample / 2 + 0.5
    torch.testing.assert_close(codec.encode(images), latents)
    torch.testing.assert_close(codec.decode(latents), decoded)


def test_a_codec_with_random_weights_runs_in_bfloat16(saved, rng):
    codec = load_codec(saved[1], "cpu", "bfloat16")
    images = torch.rand(1, 3, 16, 16, generator=rng)
    latents = codec.encode(images)
    assert latents.dtype == torch.float32
    exact = load_codec(saved[1], "cpu", "float32").encode(images)
    # 8 bits of mantissa through a dozen layers
    torch.testing.assert_close(latents, exact, rtol=0.1, atol=0.1)


def test_a_codec_is_loaded_once(saved):
    assert load_codec(saved[1], "cpu", "float32") is load_codec(saved[1], "cpu", "float32")


def test_a_codecs_identity_is_its_content_not_its_place(saved, tmp_path):
    _, spec = saved
    moved = tmp_path / "elsewhere"
    (tmp_path / "codec").rename(moved)
    before = codec_identity(Autoencoder(kind=spec.kind, weights=str(moved)))
    assert digest_of(Autoencoder(kind=spec.kind, weights=str(moved))) in before["sha256"]
    config = moved / "config.json"
    config.write_text(config.read_text() + " ")
    assert codec_identity(Autoencoder(kind=spec.kind, weights=str(moved))) != before


def test_the_pixel_codec_needs_nothing():
    assert isinstance(load_codec(Pixel(factor=4), "cpu", "float32"), PixelCodec)
    assert codec_identity(Pixel(factor=4)) == {"kind": "pixel", "factor": 4}


def test_a_hub_codec_is_identified_without_the_hub():
    spec = Autoencoder(kind="autoencoder-kl", weights="a/b", revision="0" * 40)
    assert codec_identity(spec)["revision"] == "0" * 40


@pytest.mark.parametrize("missing", ["config.json", WEIGHTS])
def test_a_folder_without_one_of_its_files_is_told_with_the_remedy(saved, tmp_path, missing):
    (tmp_path / "codec" / missing).unlink()
    for use in (codec_identity, lambda spec: load_codec(spec, "cpu", "float32")):
        with pytest.raises(WeightsMissing, match=f"{missing} must hold weights, but is not there"):
            use(saved[1])


def test_weights_with_the_named_digest_are_loaded_and_others_are_told(saved):
    spec = saved[1].model_copy(update={"sha256": digest_of(saved[1])})
    assert load_codec(spec, "cpu", "float32").channels == 4
    wrong = saved[1].model_copy(update={"sha256": "0" * 64})
    for use in (codec_identity, lambda spec: load_codec(spec, "cpu", "float32")):
        with pytest.raises(WeightsMissing, match=r"must have the sha256 0{64}.* codec.sha256"):
            use(wrong)


def test_a_hub_that_cannot_be_reached_is_told_with_the_way_around(tmp_path, monkeypatch):
    import huggingface_hub

    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    spec = Autoencoder(kind="autoencoder-kl", weights="a/b", revision="1" * 40)
    with pytest.raises(WeightsMissing, match=r"copy config.json and .* into a folder") as caught:
        load_codec(spec, "cpu", "float32")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_hub_snapshot_with_random_weights_is_loaded_from_where_it_was_put(
    saved, tmp_path, monkeypatch
):
    import huggingface_hub

    asked = {}

    def snapshot(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path / "codec")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    spec = Autoencoder(kind=saved[1].kind, weights="a/b", revision="2" * 40)
    assert load_codec(spec, "cpu", "float32").channels == 4
    assert (asked["repository"], asked["revision"]) == ("a/b", "2" * 40)
    assert sorted(asked["allow_patterns"]) == ["config.json", WEIGHTS]


def test_a_device_that_is_not_there_is_told_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == "cuda"
    assert pick_device("cuda") == "cuda"
    with pytest.raises(ConfigurationError, match="got 'cuda:1' with 1 CUDA devices"):
        pick_device("cuda:1")


def test_auto_is_the_processor_where_there_is_no_other_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"


def test_a_digest_is_of_the_file_as_it_is_now(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    first = digest(path)
    path.write_bytes(b"22")
    assert digest(path) != first
    assert first == hashlib.sha256(b"1").hexdigest()


# Files of another network than the one that is named: diffusers loads them all the same


@pytest.mark.parametrize(
    ("kind", "other", "found"),
    [
        ("autoencoder-tiny", small_kl, "AutoencoderKL"),
        ("autoencoder-kl", small_tiny, "AutoencoderTiny"),
    ],
)
def test_weights_of_another_kind_are_refused_by_the_name_in_their_configuration(
    tmp_path, kind, other, found
):
    other().save_pretrained(tmp_path)
    spec = Autoencoder(kind=kind, weights=str(tmp_path))
    with pytest.raises(WeightsMissing, match=rf"kind is {kind}, .* is that of an {found}; correct"):
        load_codec(spec, "cpu", "float32")


@pytest.mark.parametrize(
    ("kind", "other", "found"),
    [
        ("autoencoder-tiny", small_kl, r"got files without \d+ tensors, as decoder\.layers"),
        ("autoencoder-kl", small_tiny, "cannot be read as one: num_channels"),
    ],
)
def test_where_the_configuration_has_no_name_no_weights_are_drawn_at_random(
    tmp_path, kind, other, found
):
    other().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["_class_name"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(WeightsMissing, match=found):
        load_codec(Autoencoder(kind=kind, weights=str(tmp_path)), "cpu", "float32")


def test_a_file_that_lacks_tensors_is_refused_with_one_of_them(saved):
    _, spec = saved
    path = Path(spec.weights) / WEIGHTS
    tensors = load_file(path)
    some = {name: tensor for name, tensor in tensors.items() if not name.startswith("decoder")}
    save_file(some, path)
    number = len(tensors) - len(some)
    with pytest.raises(WeightsMissing, match=rf"without {number} tensors, as decoder\."):
        load_codec(spec, "cpu", "float32")


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_damaged_files_are_told_in_a_sentence(saved, name):
    _, spec = saved
    (Path(spec.weights) / name).write_bytes(b"[]")
    with pytest.raises(WeightsMissing, match="cannot be read as one: "):
        load_codec(spec, "cpu", "float32")


def test_an_auto_encoder_of_grey_images_is_refused(tmp_path):
    AutoencoderKL(
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        down_block_types=("DownEncoderBlock2D",),
        up_block_types=("UpDecoderBlock2D",),
        norm_num_groups=4,
    ).save_pretrained(tmp_path)
    spec = Autoencoder(kind="autoencoder-kl", weights=str(tmp_path))
    with pytest.raises(WeightsMissing, match=r"RGB images, .*, got one from 1 channels to 1"):
        load_codec(spec, "cpu", "float32")


def test_the_older_names_of_attention_weights_are_no_missing_tensors(tmp_path, rng):
    """Those of stabilityai/sd-vae-ft-mse."""
    module = small_kl().eval()
    module.save_pretrained(tmp_path)
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(tmp_path / WEIGHTS)
    for new, old in older.items():
        tensors = {name.replace(f".{new}.", f".{old}."): each for name, each in tensors.items()}
    assert any(".query." in name for name in tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    codec = load_codec(Autoencoder(kind="autoencoder-kl", weights=str(tmp_path)), "cpu", "float32")
    images = torch.rand(1, 3, 16, 16, generator=rng)
    with torch.no_grad():
        expected = module.encode(images * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(codec.encode(images), expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loading_says_nothing_of_what_diffusers_thinks(saved, precision, capfd, monkeypatch):
    heard = QueueHandler(SimpleQueue())
    monkeypatch.setattr(
        getLogger("diffusers"), "handlers", [heard]
    )  # it may write to a former file
    load_codec(saved[1], "cpu", precision)
    assert capfd.readouterr() == ("", "")
    assert heard.queue.empty()
