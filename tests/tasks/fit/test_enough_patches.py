"""Too few patches are told before images are restored or encoded, and only where it is sure."""

import pytest
import torch
from workspaces.plain_pipeline import do

from dot_kernels import GaussianMoments, solve_transport
from tasks.config.patch_counts import patch_dimensions, patches_in
from tasks.fit.enough_patches import require_patches
from tasks.io.errors import CorpusError
from tasks.io.networks.codecs import STABLE_DIFFUSION_VAE, Pixel
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


def test_of_a_network_nothing_is_known_before_it_is_loaded(tmp_path, steps, small):
    codec = STABLE_DIFFUSION_VAE.model_dump()
    run = steps(tmp_path / "w", given(small), codec=codec)
    assert patch_dimensions(run.config.codec, 3) is None
    require_patches(run.opened)


@pytest.mark.parametrize("size", [1, 2])
def test_dimensions_and_patches_are_those_of_the_kernels(rng, size):
    codec, images = Pixel(kind="pixel", factor=2), torch.rand(1, 3, 12, 14, generator=rng)
    latents = torch.nn.functional.pixel_unshuffle(images, 2)
    patches = torch.nn.functional.unfold(latents, size)  # (1, d, n)
    assert patch_dimensions(codec, size) == patches.shape[1]
    assert patches_in(codec, size, 13, 15) == patches.shape[2]


def test_the_fit_itself_refuses_what_is_refused_before_and_no_more(rng):
    dimensions = patch_dimensions(Pixel(kind="pixel", factor=1), 1)
    for count in (dimensions, dimensions + 1):
        moments = GaussianMoments.of(torch.rand(count, dimensions, generator=rng))
        if count <= dimensions:
            with pytest.raises(ValueError, match=FIT):
                solve_transport(moments, moments)
        else:
            solve_transport(moments, moments)
