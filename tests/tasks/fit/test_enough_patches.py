"""Too few patches are told before images are restored or encoded, and only where it is sure."""

import json
from pathlib import Path

import pytest
import torch
from workspaces.plain_pipeline import do

from dot_kernels import GaussianMoments, solve_transport
from tasks.config.patches import known_latents
from tasks.fit.enough_patches import require_patches
from tasks.fit.latent_size import latent_size
from tasks.io.errors import CorpusError
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE, Autoencoder, Pixel, pulled_codec
from tasks.io.networks.digests import digest
from tasks.io.networks.pulled_folder import PulledFile, write_manifest
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.pipeline import steps_of

FIT = r"must hold more patches than the (\d+) dimensions"


@pytest.fixture
def small(tmp_path, write_images, pixels):
    """Folders of eight natural images of 8 by 9 pixels, and of as many restored ones."""
    images = {f"{number}.png": pixels(number, 8, 9) for number in range(8)}
    return {
        role: write_images(tmp_path / role, images) for role in ("natural", "restored", "reference")
    }


def given(corpora):
    return {role: corpora[role] for role in ("natural", "restored")}


def test_a_fit_on_given_images_is_refused_before_they_are_encoded(tmp_path, steps, small):
    run = steps(tmp_path / "w", given(small), codec={"kind": "pixel", "factor": 8})
    run.shard()
    with pytest.raises(CorpusError, match=r"^'natural' .* 192 dimensions .* got 8 at most of 8"):
        require_patches(run.opened)


def test_restored_images_are_not_made_for_a_fit_that_is_refused(tmp_path, steps, small):
    run = steps(
        tmp_path / "w",
        {"reference": small["reference"]},
        degrade=[{"kind": "noise", "sigma": 0.1}],
        restore={"kind": "non-local-means"},
        codec={"kind": "pixel", "factor": 8},
    )
    (restoring,) = (step for step in steps_of(run.opened) if step.name == "restore run")
    do(run.opened, lambda step: step.name == "shard reference")
    with pytest.raises(CorpusError, match=FIT):
        restoring.prepare()


def test_images_are_chosen_after_the_same_look(tmp_path, steps, photographs):
    run = steps(tmp_path / "w", photographs)
    assert "choose images" in {step.name for step in steps_of(run.opened) if step.prepare}


@pytest.mark.parametrize(("images", "is_enough"), [(4, False), (5, True), (1000, True)])
def test_the_largest_images_count_as_many_as_the_fit_uses(
    tmp_path, steps, write_images, pixels, images, is_enough
):
    sizes = [(8, 9), (8, 10), (8, 10), (10, 8), (8, 11), (9, 8)]  # of 9 patches, or of 12
    drawn = {f"{i}.png": pixels(i, *size) for i, size in enumerate(sizes)}
    corpora = {role: write_images(tmp_path / role, drawn) for role in ("natural", "restored")}
    run = steps(tmp_path / "w", corpora, fit={"images": images}, patches={"size": 2})
    run.shard()
    if is_enough:
        require_patches(run.opened)
    else:
        with pytest.raises(CorpusError, match="48 dimensions of a patch for the fit, got 48 at"):
            require_patches(run.opened)


def test_of_a_network_that_is_not_here_nothing_is_known(tmp_path, steps, small, monkeypatch):
    codec = STABLE_DIFFUSION_VAE.model_dump()
    run = steps(tmp_path / "w", given(small), codec=codec)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    assert latent_size(run.config.codec, FROM_THIS_MACHINE) is None
    require_patches(run.opened)


WIDTHS = {"autoencoder-kl": "block_out_channels", "autoencoder-tiny": "decoder_block_out_channels"}


@pytest.fixture(params=WIDTHS)
def network(request, tmp_path):
    """The section of a network with a factor of 4 and 16 channels, of which only that is here."""
    folder = tmp_path / "codec"
    folder.mkdir()
    options = {"latent_channels": 16, WIDTHS[request.param]: [8, 8, 8]}
    (folder / "config.json").write_text(json.dumps(options))
    return {"kind": request.param, "weights": str(folder)}


def test_a_network_s_own_configuration_says_how_large_its_latents_are(
    tmp_path, steps, small, network
):
    run = steps(tmp_path / "w", given(small), codec=network, patches={"size": 1})
    run.shard()  # each image has two times two latent pixels
    require_patches(run.opened)
    run = steps(tmp_path / "w", given(small), codec=network, patches={"size": 2})
    with pytest.raises(CorpusError, match=r"^'natural' .* 64 dimensions .* got 8 at most of 8"):
        require_patches(run.opened)


@pytest.mark.parametrize("found", ["in the hub's cache", "pulled"])
def test_a_network_of_the_hub_is_looked_for_where_it_would_be_loaded_from(
    tmp_path, network, monkeypatch, found
):
    config = Path(network["weights"]) / "config.json"
    spec, weights = Autoencoder(**network, revision="a" * 40), FROM_THIS_MACHINE
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda *_, **__: str(config) if found != "pulled" else None,
    )
    if found == "pulled":
        name, folder = pulled_codec(spec)[0], tmp_path / "pulled"
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(config.read_bytes())
        entry = PulledFile(sha256=digest(config), size=config.stat().st_size, source="the hub")
        write_manifest(str(folder), {name: entry})
        weights = Weights.of(str(folder))
    assert latent_size(spec, weights) == (16, 4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"latent_channels": "x"}', None])
def test_a_configuration_that_is_not_understood_is_left_to_the_fit(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    spec = Autoencoder(kind="autoencoder-kl", weights=str(tmp_path))
    assert latent_size(spec, FROM_THIS_MACHINE) is None


@pytest.mark.parametrize("size", [1, 2])
def test_dimensions_and_patches_are_those_of_the_kernels(rng, size):
    known, images = known_latents(Pixel(factor=2)), torch.rand(1, 3, 12, 14, generator=rng)
    latents = torch.nn.functional.pixel_unshuffle(images, 2)
    patches = torch.nn.functional.unfold(latents, size)  # (1, d, n)
    assert known.patch_dimensions(size) == patches.shape[1]
    assert known.patches_in(size, 13, 15) == patches.shape[2]


def test_the_fit_itself_refuses_what_is_refused_before_and_no_more(rng):
    dimensions = known_latents(Pixel(factor=1)).patch_dimensions(1)
    for count in (dimensions, dimensions + 1):
        moments = GaussianMoments.of(torch.rand(count, dimensions, generator=rng))
        if count <= dimensions:
            with pytest.raises(ValueError, match=FIT):
                solve_transport(moments, moments)
        else:
            solve_transport(moments, moments)
