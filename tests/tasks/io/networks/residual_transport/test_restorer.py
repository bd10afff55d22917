"""A trained map as a restorer: its file, sizes of images, and tiles."""

import pytest
import torch

from dot_kernels.degradations import Downscale, Noise
from dot_kernels.residual_networks import ResidualMap, draw_weights
from dot_kernels.restorers import bicubic
from tasks.io.errors import ArtifactDamaged
from tasks.io.networks.residual_transport.restorer import TrainedMap, load_trained_map, save_map
from tasks.io.store import Store

NOISE = (Noise(sigma=0.1),)


@pytest.fixture
def network(rng):
    """A map that changes images, as a trained one does."""
    drawn = ResidualMap(width=2)
    draw_weights(drawn, rng)
    with torch.no_grad():
        for weights in drawn.parameters():
            weights.add_(0.002 * torch.randn(weights.shape, generator=rng))
    return drawn.eval().requires_grad_(False)


@pytest.fixture
def restorer(network, tmp_path):
    """Loads the map with tiles of a size."""
    save_map(network.state_dict(), tmp_path / "a.safetensors", width=2, passes=2)
    trained = TrainedMap(artifact="a", digest=str(tmp_path))

    def load(tile=512):
        return load_trained_map(trained, Store(str(tmp_path)), "cpu", tile)

    return load


def restored(restorer, images, degradations=NOISE, hear=lambda _: None):
    return restorer.restore(images, degradations, ["a"] * len(images), hear)


@pytest.mark.parametrize("size", [(24, 32), (21, 17), (1, 3)])
def test_images_of_any_size_are_what_the_map_makes_of_them(network, restorer, rng, size):
    images = torch.rand(2, 3, *size, generator=rng)
    made = restored(restorer(), images)
    torch.testing.assert_close(made, network(images).clamp(0, 1))
    assert not torch.allclose(made, images)


def test_small_images_are_enlarged_first(network, restorer, rng):
    degradations, images = (Downscale(factor=2),), torch.rand(2, 3, 10, 12, generator=rng)
    large = torch.stack([bicubic(image, degradations) for image in images])
    made = restored(restorer(), images, degradations)
    torch.testing.assert_close(made, network(large).clamp(0, 1))


def test_noise_that_leaves_the_range_reaches_the_map(network, restorer, rng):
    images = 3 * torch.rand(1, 3, 8, 8, generator=rng) - 1
    torch.testing.assert_close(restored(restorer(), images), network(images).clamp(0, 1))


def test_images_above_a_tile_are_blended_of_tiles_and_their_seams_told(network, restorer, rng):
    images, heard = torch.rand(2, 3, 40, 36, generator=rng), []
    made = restored(restorer(24), images, hear=heard.append)
    assert made.shape == images.shape
    assert len(heard) == 2
    assert all(seams.numbers["rms"] > 0 for seams in heard)
    whole = network(images).clamp(0, 1)
    changed, apart = (whole - images).abs().mean(), (whole - made).abs().mean()
    assert 0 < apart < changed  # attention sees each tile's own means


def test_a_file_of_other_bytes_is_refused(restorer, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactDamaged, match="must hold the tensors that were written"):
        restorer()
