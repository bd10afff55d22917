"""DISTS: the number of piq's own class, for random weights in files of the published form."""

from functools import partial

import pytest
import torch

from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import judges
from tasks.io.networks.features.judges import judge_facts, judge_identity, load_judge
from tasks.io.networks.published_weights import PUBLISHED
from tasks.upkeep.wanted_weights import wanted_weights

FILES = PUBLISHED["dists"], PUBLISHED["vgg16"]


@pytest.fixture(scope="module")
def random_files(tmp_path_factory):
    """A hub folder with weights drawn by chance, of a VGG whose activations neither fade nor grow.

    The network that piq would fetch comes with it.
    """
    from torchvision.models import vgg16

    home = tmp_path_factory.mktemp("hub")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.device("meta"):
        network = vgg16(weights=None).features
    rng = torch.Generator().manual_seed(1)
    state = {}
    for name, weight in network.state_dict().items():
        scale = (2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.1
        state[name] = scale * torch.randn(weight.shape, generator=rng)
    network.load_state_dict(state, assign=True)
    torch.save(
        {f"features.{name}": tensor for name, tensor in state.items()}, folder / FILES[1].name
    )
    parts = torch.rand(2, 1475, generator=rng)
    alpha, beta = (parts / parts.sum())[..., None, None].unsqueeze(1)
    torch.save({"alpha": alpha, "beta": beta}, folder / FILES[0].name)
    return home, network


@pytest.fixture
def hub(random_files, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(random_files[0]))
    judges._load_judge.cache_clear()
    return random_files[0] / "hub" / "checkpoints"


@pytest.fixture
def pairs(rng):
    def draw(height, width):
        images = torch.rand(2, 3, height, width, generator=rng)
        return images, (images + 0.1 * torch.randn(images.shape, generator=rng)).clamp(0, 1)

    return draw


@pytest.mark.parametrize("size", [(48, 64), (300, 270)], ids=["as it is", "shrunk"])
def test_with_random_weights_it_is_the_number_of_piqs_own_class(
    hub, random_files, pairs, monkeypatch, size
):
    import piq.perceptual

    monkeypatch.setattr(
        piq.perceptual, "vgg16", lambda **_: type("Network", (), {"features": random_files[1]})
    )
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: torch.load(hub / FILES[0].name)
    )
    images, references = (each[:1] for each in pairs(*size))
    expected = piq.DISTS(reduction="none")(images, references)
    found = load_judge("dists", "cpu")(images, references, None)
    assert min(found) > 1e-3
    torch.testing.assert_close(torch.tensor(found), expected)


def test_with_random_weights_an_image_is_like_itself_and_small_ones_have_none(hub, pairs):
    judge = load_judge("dists", "cpu")
    images, references = pairs(40, 40)
    assert judge(images, images, None) == pytest.approx([0, 0], abs=1e-5)  # of sums in float32
    assert judge(images, None, None) == [None, None]
    assert judge(images[..., :31], references[..., :31], None) == [None, None]


@pytest.mark.parametrize("size", [(301, 420), (40, 300)], ids=["shrunk", "as it is"])
def test_with_random_weights_a_large_image_has_the_number_of_a_whole_one(
    hub, pairs, monkeypatch, size
):
    monkeypatch.setattr("tasks.io.networks.features.dists._AT_ONCE", 1 << 17)
    judge = load_judge("dists", "cpu")
    images, references = (each[:1] for each in pairs(*size))

    def read(whole, down, across):
        assert len(down) * len(across) <= 1 << 17
        return whole[..., down.start : down.stop, across.start : across.stop]

    (expected,) = judge(images, references, None)
    readers = partial(read, images), partial(read, references)
    # The places of a shrunk image are known to 1e-5 pixels in piq's float32.
    assert judge.in_tiles(*readers, size, None) == pytest.approx(expected, rel=1e-4)
    assert judge.in_tiles(*readers, (40, 10_000), None) is None


def test_random_weights_are_not_called_dists_alone_and_all_files_are_named(hub):
    identity = judge_identity("dists")
    assert set(identity) == {"judge", "sha256", "vgg16_sha256"}
    facts = judge_facts("dists")
    assert facts["dists_name"] == f"DISTS (altered {identity['sha256'][:8]})"
    assert facts["dists_vgg16_sha256"] == identity["vgg16_sha256"]


def test_a_file_of_other_weights_is_told(hub, tmp_path, monkeypatch):
    other = tmp_path / "hub" / "checkpoints"
    other.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for file in FILES:
        torch.save({"alpha": torch.zeros(3)}, other / file.name)
    with pytest.raises(WeightsMissing, match="must hold the weights of DISTS and VGG16"):
        load_judge("dists", "cpu")


def test_both_files_are_pulled_where_there_is_a_reference(steps):
    def names(**corpora):
        corpora |= {"restored": "/r"}
        asked = {"dists": True, "clip_iqa": True}
        config = steps("/nowhere", corpora, evaluate=asked).config
        return {name for each in wanted_weights(config, "/to") for name in each.names}

    files = {file.pulled_name for file in FILES}
    clip = {PUBLISHED["clip-rn50"].pulled_name}
    assert names(reference="/t") == files | clip
    assert names(natural="/n") == clip
