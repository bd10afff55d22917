"""TAEF2 from a user's folder and from the published files, with random weights in their format."""

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from dot_kernels import AutoencoderCodec
from dot_kernels.taef2 import Taef2
from tasks.direct.known_codecs import codec_named, codec_of
from tasks.io.errors import WeightsMissing
from tasks.io.networks.autoencoders import taef2
from tasks.io.networks.codecs import codec_identity, load_codec, tile_that_matters

PUBLISHED = codec_named("taef2")


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return Taef2()


@pytest.fixture
def folder(network, tmp_path):
    for part in ("encoder", "decoder"):
        save_file(network.get_submodule(part).state_dict(), tmp_path / f"{part}.safetensors")
    return tmp_path


@pytest.fixture
def published(network, tmp_path, monkeypatch):
    """The published files, as if these random ones were published, in torch's hub folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place, parts = tmp_path / "hub" / "checkpoints", []
    place.mkdir(parents=True)
    for part, name in zip(taef2.PUBLISHED_PARTS, ("encoder", "decoder"), strict=True):
        path = place / part.name
        torch.save(network.get_submodule(name).half().state_dict(), path)
        parts.append(replace(part, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    monkeypatch.setattr(taef2, "PUBLISHED_PARTS", tuple(parts))
    return place


def test_a_folder_of_both_parts_is_loaded_by_its_path(network, folder, rng):
    spec = codec_named(str(folder))
    codec, images = load_codec(spec, "cpu", "float32"), torch.rand(1, 3, 16, 16, generator=rng)
    assert spec.kind == "taef2"
    latents = codec.encode(images)
    torch.testing.assert_close(latents, AutoencoderCodec(network).encode(images))
    torch.testing.assert_close(codec.decode(latents), AutoencoderCodec(network).decode(latents))


def test_its_identity_is_the_digests_of_both_parts(folder):
    names = ("encoder.safetensors", "decoder.safetensors")
    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    assert codec_identity(codec_named(str(folder))) == {"kind": "taef2", "sha256": digests}


def test_the_published_files_are_loaded_in_float32_though_they_are_in_float16(published, rng):
    codec, images = load_codec(PUBLISHED, "cpu", "float32"), torch.rand(1, 3, 8, 8, generator=rng)
    assert next(codec.module.parameters()).dtype == torch.float32
    assert codec.encode(images).shape == (1, 32, 1, 1)


def test_an_operator_of_the_published_files_is_applied_without_naming_the_codec():
    assert codec_of(taef2.PUBLISHED_IDENTITY) == PUBLISHED


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_folder_without_one_part_is_told_with_the_remedy(folder, part):
    spec = codec_named(str(folder))
    (folder / f"{part}.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=f"{part}.safetensors must hold weights, .* left out"):
        load_codec(spec, "cpu", "float32")


def test_parts_that_were_exchanged_are_told(folder):
    (folder / "encoder.safetensors").rename(folder / "other")
    (folder / "decoder.safetensors").rename(folder / "encoder.safetensors")
    (folder / "other").rename(folder / "decoder.safetensors")
    said = r"encoder\.safetensors must hold the encoder .* cannot be read as one: Error.*loading"
    with pytest.raises(WeightsMissing, match=said):
        load_codec(codec_named(str(folder)), "cpu", "float32")


def test_a_damaged_part_is_told(folder):
    (folder / "decoder.safetensors").write_bytes(b"{}")
    with pytest.raises(WeightsMissing, match=r"decoder\.safetensors must hold .* cannot be read"):
        load_codec(codec_named(str(folder)), "cpu", "float32")


def test_its_tiles_change_numbers():
    assert tile_that_matters(PUBLISHED, 512) == {"tile": 512}
