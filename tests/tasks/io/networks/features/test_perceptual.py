"""LPIPS where its weights are, and a clear sentence where they are not."""

from dataclasses import replace

import lpips
import pytest
import torch

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
