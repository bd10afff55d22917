"""LPIPS where its weights are, and a clear sentence where they are not."""

import itertools
from dataclasses import replace

import lpips
import pytest
import torch

from dot_kernels import local_activations
from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import perceptual
from tasks.io.networks.features.perceptual import (
    fetch_lpips,
    load_lpips,
    lpips_identity,
    lpips_name,
)
from tasks.io.networks.published_weights import PUBLISHED

BACKBONE = "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """A hub folder without weights, and no way to any."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    perceptual._load_lpips.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    perceptual._load_lpips.cache_clear()


@pytest.fixture
def random_backbone(torch_home):
    """SqueezeNet with random weights under the published file's name."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)  # torchvision initialises from the global state
    torch_home.mkdir(parents=True, exist_ok=True)
    torch.save(squeezenet1_1(weights=None).state_dict(), torch_home / BACKBONE)
    return torch_home / BACKBONE


def test_missing_weights_are_told_with_the_place_they_belong_to(torch_home):
    assert lpips_identity("squeeze") is None
    with pytest.raises(WeightsMissing, match=rf"put it at .*{BACKBONE} .*TORCH_HOME"):
        fetch_lpips("squeeze")
    with pytest.raises(WeightsMissing):
        load_lpips("squeeze", "cpu")


def test_weights_that_are_there_are_not_fetched(random_backbone):
    fetch_lpips("squeeze")
    assert lpips_identity("squeeze")["net"] == "squeeze"


def test_lpips_with_random_weights_is_zero_for_equal_images_and_grows(random_backbone, rng):
    distance = load_lpips("squeeze", "cpu")
    images = torch.rand(3, 3, 40, 32, generator=rng)
    noise = torch.randn(images.shape, generator=rng)
    noisy = images + torch.tensor([0.0, 0.05, 0.3])[:, None, None, None] * noise
    found = distance(images)(noisy)
    assert found.shape == (3,)
    assert float(found[0]) == 0
    assert float(found[1]) < float(found[2])


@pytest.mark.filterwarnings("ignore")  # lpips calls torchvision by names that it deprecates
def test_lpips_with_random_weights_is_that_of_the_lpips_package(random_backbone, rng):
    reference = lpips.LPIPS(net="squeeze", pretrained=True, verbose=False)
    images, others = torch.rand(2, 2, 3, 33, 47, generator=rng)
    with torch.no_grad():
        expected = reference(images * 2 - 1, others * 2 - 1).flatten()
    torch.testing.assert_close(load_lpips("squeeze", "cpu")(others)(images), expected)


def test_weights_that_are_not_the_published_ones_are_named_so(random_backbone, monkeypatch):
    name = lpips_name("squeeze")
    assert name.startswith("LPIPS-squeeze (altered ")
    published = lpips_identity("squeeze")["sha256"][:8]
    monkeypatch.setitem(PUBLISHED, "squeezenet", replace(PUBLISHED["squeezenet"], sha256=published))
    assert lpips_name("squeeze") == "LPIPS-squeeze"


# Large images


def file_of(net, folder):
    """A network of torchvision with random weights, under the published file's name."""
    from torchvision import models

    build = {"alex": models.alexnet, "vgg": models.vgg16, "squeeze": models.squeezenet1_1}[net]
    with torch.device("meta"):
        state = build(weights=None).features.state_dict()
    torch.manual_seed(0)
    filled = {f"features.{name}": torch.randn(each.shape) / 30 for name, each in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(filled, folder / perceptual.lpips_file(net).name)


# Sizes at which the windows of a largest value end inside, at, and beyond the border.
@pytest.mark.parametrize(
    ("net", "size"),
    [
        *itertools.product(["squeeze", "alex"], [(176, 177), (129, 258), (131, 190)]),
        ("vgg", (129, 98)),
    ],
)
def test_lpips_in_tiles_is_that_of_the_whole_image(torch_home, monkeypatch, rng, net, size):
    file_of(net, torch_home)
    distance = load_lpips(net, "cpu")
    images, others = torch.rand(2, 2, 3, *size, generator=rng)
    expected = distance(others)(images)
    monkeypatch.setattr(perceptual, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(local_activations, "_NUMBERS", (1 << 18) if net == "vgg" else (1 << 16))
    assert len(list(distance._local.tiles(*size))) > 1
    torch.testing.assert_close(distance(others)(images), expected, rtol=2e-6, atol=0)


def test_large_images_are_seen_in_tiles_of_bounded_size(random_backbone, monkeypatch, rng):
    distance, largest = load_lpips("squeeze", "cpu"), []
    whole = torch.rand(1, 3, 1100, 1000, generator=rng)

    def read(down, across):
        largest.append(len(down) * len(across))
        return whole[..., down.start : down.stop, across.start : across.stop]

    monkeypatch.setattr(local_activations, "_NUMBERS", 1 << 20)
    assert distance.in_tiles(read, [read, read], (1100, 1000)).tolist() == [0, 0]
    assert max(largest) < (256 + 2 * 100) ** 2  # a tile has 256² pixels, and reaches 90 further


def test_large_tensors_go_in_tiles(random_backbone, monkeypatch, rng):
    images = torch.rand(1, 3, 48, 40, generator=rng)
    monkeypatch.setattr(perceptual, "WHOLE_PIXELS", 48 * 40 - 1)
    monkeypatch.setattr(perceptual.Perceptual, "_activations", pytest.fail)
    assert load_lpips("squeeze", "cpu")(images)(images) == 0
