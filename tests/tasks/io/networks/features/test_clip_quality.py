"""CLIP-IQA: the number of piq's own class, for random weights in an archive as OpenAI's."""

import warnings
from dataclasses import replace
from hashlib import sha256

import pytest
import torch

from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import judges
from tasks.io.networks.features.judges import judge_facts, load_judge
from tasks.io.networks.published_weights import PUBLISHED

TOKENS = torch.zeros(2, 77, dtype=torch.long)
TOKENS[0, :5] = torch.tensor([49406, 886, 1125, 269, 49407])
TOKENS[1, :5] = torch.tensor([49406, 2103, 1125, 269, 49407])


class Tree(torch.nn.Module):
    """Tensors below dotted names, which can be saved as an archive of TorchScript."""

    def put(self, name, tensor):
        first, _, rest = name.partition(".")
        if not rest:
            self.register_buffer(first, tensor)
        else:
            if first not in dict(self.named_children()):
                self.add_module(first, Tree())
            self.get_submodule(first).put(rest, tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def random_file(tmp_path_factory):
    """A hub folder with a small CLIP that was drawn by chance, and the digest of its file."""
    from piq.feature_extractors.clip import CLIP

    home = tmp_path_factory.mktemp("hub")
    path = home / "hub" / "checkpoints" / PUBLISHED["clip-rn50"].name
    path.parent.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CLIP(32, 64, (1, 1, 1, 1), 8, None, 77, 49408, 64, 1, 1)
    tree = Tree()
    for name, tensor in model.state_dict().items():
        tree.put(name, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, that it is going away
        torch.jit.script(tree).save(path)
    return home, sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def hub(random_file, monkeypatch):
    home, digest = random_file
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setitem(PUBLISHED, "clip-rn50", replace(PUBLISHED["clip-rn50"], sha256=digest))
    judges._load_judge.cache_clear()
    return home / "hub" / "checkpoints"


@pytest.fixture
def images(rng):
    return torch.rand(2, 3, 70, 97, generator=rng)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # piq loads an archive of TorchScript
def test_with_random_weights_it_is_the_number_of_piqs_own_class(hub, images, monkeypatch):
    import piq.clip_iqa

    clip = piq.clip_iqa.clip
    path = str(hub / PUBLISHED["clip-rn50"].name)
    monkeypatch.setattr(clip, "_download", lambda *_: path)
    monkeypatch.setattr(piq.clip_iqa, "download_tensor", lambda *_: TOKENS)
    expected = piq.CLIPIQA()(images).flatten()
    found = torch.tensor(load_judge("clip_iqa", "cpu")(images, None, None))
    assert found[0] != found[1]
    torch.testing.assert_close(found, expected)


def test_with_random_weights_a_large_image_in_tiles_has_the_number_of_a_whole_one(
    hub, rng, monkeypatch
):
    judge = load_judge("clip_iqa", "cpu")
    monkeypatch.setattr("tasks.io.networks.features.clip_quality._TILE", 64)
    image, seen = torch.rand(1, 3, 415, 640, generator=rng), []

    def read(down, across):
        seen.append((down, across))
        return image[..., down.start : down.stop, across.start : across.stop]

    (expected,) = judge(image, None, None)
    assert judge.in_tiles(read, None, (415, 640), None) == pytest.approx(expected, rel=1e-5)
    assert len(seen) == 7 * 10


def test_images_below_one_place_of_the_network_have_none(hub, images):
    judge = load_judge("clip_iqa", "cpu")
    assert judge(images[:, :, :31], None, None) == [None, None]
    assert judge.in_tiles(None, None, (31, 500), None) is None


def test_only_the_published_file_is_opened_and_called_by_the_name(hub, monkeypatch):
    assert judge_facts("clip_iqa")["clip_iqa_name"] == "CLIP-IQA"
    monkeypatch.setitem(PUBLISHED, "clip-rn50", replace(PUBLISHED["clip-rn50"], sha256="0" * 64))
    with pytest.raises(WeightsMissing, match="is not opened"):
        load_judge("clip_iqa", "cpu")
