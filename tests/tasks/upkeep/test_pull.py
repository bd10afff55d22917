"""`dotpipe weights pull`: everything a configuration needs, whole, once, and used offline."""

import hashlib
import json
import sys
from dataclasses import replace

import fsspec
import huggingface_hub
import pytest
import torch
import yaml
from diffusers import AutoencoderTiny
from torchvision.models import squeezenet1_1

from flows.cli import main
from tasks.config import Config, load_config
from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.networks import codecs
from tasks.io.networks.codecs import codec_identity, load_codec, pulled_codec
from tasks.io.networks.features import extractors, perceptual
from tasks.io.networks.features.extractors import extractor_identity, load_extractor
from tasks.io.networks.features.perceptual import load_lpips, lpips_identity
from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.networks.pulled_folder import PulledFile, read_manifest, write_manifest
from tasks.io.networks.restorers import SpandrelCheckpoint, locate_checkpoint, restorer_identity
from tasks.io.networks.weights import Weights
from tasks.io.store import Store
from tasks.upkeep.pull import pull_weights, require_pulled

REVISION = "3" * 40


class World:
    """Everything on the internet, and how often it was asked for."""

    def __init__(self, folder):
        self.files, self.folder, self.asked, self.is_open = {}, folder, [], True

    def publish(self, monkeypatch, network, module):
        path = self.folder / PUBLISHED[network].name
        torch.save(module.state_dict(), path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setitem(PUBLISHED, network, replace(PUBLISHED[network], sha256=sha256))
        self.files[PUBLISHED[network].address] = path

    def download(self, address, target, **_):
        self.ask(address)
        data = self.files[address].read_bytes()
        with open(target, "wb") as stream:  # noqa: PTH123
            stream.write(data)

    def snapshot(self, repository, *, revision, **_):
        self.ask(f"{repository}@{revision}")
        return str(self.folder / "repository")

    def ask(self, what):
        if not self.is_open:
            raise OSError("no route to host")
        self.asked.append(what)


@pytest.fixture(scope="module")
def modules():
    torch.manual_seed(0)  # torchvision and diffusers initialise from the global state
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        latent_channels=4,
    )
    return tiny, squeezenet1_1(weights=None)


def forget_networks():
    for load in (codecs._load_autoencoder, extractors._load_extractor, perceptual._load_lpips):
        load.cache_clear()


@pytest.fixture
def world(tmp_path, monkeypatch, modules):
    """Networks with random weights, published; an empty hub folder."""
    folder = tmp_path / "world"
    folder.mkdir()
    found = World(folder)
    tiny, squeezenet = modules
    tiny.save_pretrained(folder / "repository")
    found.publish(monkeypatch, "squeezenet", squeezenet)
    monkeypatch.setattr(torch.hub, "download_url_to_file", found.download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    forget_networks()
    yield found
    forget_networks()


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "mine" / "denoiser.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights of a denoiser")
    return path


@pytest.fixture
def write_config(tmp_path, checkpoint):
    def write(name="run.yaml", **changes):
        tree = {
            "workspace": "workspace",
            "corpora": {"reference": {"path": "clean"}},
            "degrade": [{"kind": "noise", "sigma": 0.1}],
            "restore": {"kind": "spandrel", "checkpoint": str(checkpoint)},
            "codec": {"kind": "autoencoder-tiny", "weights": "a/b", "revision": REVISION},
            "evaluate": {"lpips": "squeeze", "features": "squeezenet"},
            **changes,
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


@pytest.fixture
def dotpipe(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dotpipe", *map(str, words)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as exited:
            code = exited.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    if request.param == "local":
        yield str(tmp_path / "pulled")
        return
    yield f"memory://{tmp_path.name}/pulled"
    fsspec.filesystem("memory").store.clear()


def offline(world, tmp_path, monkeypatch):
    """Another machine: no internet, an empty hub folder, nothing loaded."""
    world.is_open = False
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "offline"))
    forget_networks()


def test_what_is_pulled_is_used_without_internet(
    world, write_config, dotpipe, folder, tmp_path, monkeypatch, checkpoint, rng
):
    code, out, err = dotpipe("weights", "pull", write_config(), folder)
    assert (code, err) == (0, "")
    names = [line.partition(":")[0] for line in out.splitlines()]
    assert sorted(names) == sorted(read_manifest(folder))
    assert len(names) == 4  # the SqueezeNet of LPIPS and of the features is one file
    offline(world, tmp_path, monkeypatch)
    checkpoint.unlink()
    config = load_config(write_config(weights=folder))
    assert config.weights == folder
    images = torch.rand(1, 3, 32, 32, generator=rng)
    weights = Weights.of(config.weights)
    codec = load_codec(config.codec, "cpu", "float32", weights)
    assert codec.encode(images).shape == (1, 4, 16, 16)
    assert load_lpips("squeeze", "cpu", weights)(images)(images) == 0
    extractor = load_extractor("squeezenet", "cpu", weights)
    assert extractor((images * 255).byte()).features.shape == (1, 128)
    found = locate_checkpoint(config.restore, weights)
    assert found.read_bytes() == b"weights of a denoiser"
    known = hashlib.sha256(b"weights of a denoiser").hexdigest()
    assert restorer_identity(config.restore, weights)["sha256"] == known
    assert lpips_identity("squeeze") is extractor_identity("squeezenet") is None


def test_the_verb_explains_itself(dotpipe):
    code, out, err = dotpipe("weights", "pull", "--help")
    assert (code, err) == (0, "")
    assert "DEST" in out


def test_pulling_again_fetches_and_writes_nothing(world, write_config, folder, monkeypatch):
    config = load_config(write_config())
    first = list(pull_weights(config, folder))
    asked = list(world.asked)
    assert len(asked) == 2
    monkeypatch.setattr(Store, "publish", lambda *_: pytest.fail("was written again"))
    again = list(pull_weights(config, folder))
    assert {taken.note for taken in first} == {"pulled"}
    assert {taken.note for taken in again} == {"there already"}
    assert [taken.entry for taken in again] == [taken.entry for taken in first]
    assert world.asked == asked


def test_what_cannot_be_had_does_not_stop_the_others(
    world, write_config, dotpipe, tmp_path, monkeypatch
):
    evaluate = {"lpips": "alex", "features": "squeezenet"}

    def download(address, target, **options):
        if "alexnet" in address:
            raise OSError("not found")
        world.download(address, target, **options)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    code, out, err = dotpipe("weights", "pull", write_config(evaluate=evaluate), tmp_path / "to")
    assert code == 1
    assert len(out.splitlines()) == 4
    assert err.startswith("error: LPIPS needs alexnet-owt-7be5be79.pth, which cannot be fetched")
    assert len(err.splitlines()) == 1


def test_a_damaged_file_is_pulled_again(world, write_config, tmp_path):
    config, folder = load_config(write_config()), tmp_path / "to"
    list(pull_weights(config, str(folder)))
    (folder / "restorers" / "denoiser.pth").write_bytes(b"half")
    notes = {taken.name: taken.note for taken in pull_weights(config, str(folder))}
    assert notes.pop("restorers/denoiser.pth") == "pulled"
    assert set(notes.values()) == {"there already"}


def test_the_manifest_says_where_each_file_is_from(world, write_config, tmp_path, checkpoint):
    list(pull_weights(load_config(write_config()), str(tmp_path / "to")))
    files = json.loads((tmp_path / "to" / "manifest.json").read_text())["files"]
    assert {name: entry["source"] for name, entry in files.items()} == {
        f"codecs/a--b@{REVISION}/config.json": f"a/b@{REVISION}",
        f"codecs/a--b@{REVISION}/diffusion_pytorch_model.safetensors": f"a/b@{REVISION}",
        f"networks/{PUBLISHED['squeezenet'].name}": PUBLISHED["squeezenet"].address,
        "restorers/denoiser.pth": str(checkpoint),
    }
    for name, entry in files.items():
        data = (tmp_path / "to" / name).read_bytes()
        assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_checkpoint_that_changed_is_pulled_again(world, write_config, tmp_path, checkpoint):
    config, folder = load_config(write_config()), str(tmp_path / "to")
    list(pull_weights(config, folder))
    checkpoint.write_bytes(b"better weights")
    assert "pulled" in {taken.note for taken in pull_weights(config, folder)}
    assert (tmp_path / "to" / "restorers" / "denoiser.pth").read_bytes() == b"better weights"


def test_two_checkpoints_of_one_name_do_not_replace_each_other(
    world, write_config, tmp_path, checkpoint
):
    folder = str(tmp_path / "to")
    list(pull_weights(load_config(write_config()), folder))
    other = tmp_path / "other" / "denoiser.pth"
    other.parent.mkdir()
    other.write_bytes(b"weights of another")
    config = load_config(write_config(restore={"kind": "spandrel", "checkpoint": str(other)}))
    refused = [taken for taken in pull_weights(config, folder) if taken.entry is None]
    assert [taken.name for taken in refused] == ["restorers/denoiser.pth"]
    assert "must be free for" in refused[0].note
    assert (tmp_path / "to" / "restorers" / "denoiser.pth").read_bytes() == b"weights of a denoiser"


def test_a_local_codec_is_used_from_its_path_and_else_from_the_pulled_folder(
    world, write_config, folder, monkeypatch, tmp_path
):
    mine = tmp_path / "codec"
    (world.folder / "repository").rename(mine)
    codec = {"kind": "autoencoder-tiny", "weights": str(mine)}
    config = load_config(write_config(codec=codec))
    list(pull_weights(config, folder))
    identity = codec_identity(config.codec)
    moved = mine.rename(tmp_path / "moved")
    assert codec_identity(config.codec, Weights.of(folder)) == identity
    assert load_codec(config.codec, "cpu", "float32", Weights.of(folder)).channels == 4
    with pytest.raises(WeightsMissing, match=r"must hold weights, but is not there"):
        codec_identity(config.codec)
    write_manifest(folder, {})
    with pytest.raises(WeightsMissing, match=r"is not there; .*manifest.json must name codecs/"):
        codec_identity(config.codec, Weights.of(folder))
    moved.rename(mine)
    assert codec_identity(config.codec, Weights.of(folder)) == identity


def test_a_pulled_codec_that_was_changed_is_not_used(
    world, write_config, folder, tmp_path, monkeypatch
):
    config = load_config(write_config())
    list(pull_weights(config, folder))
    offline(world, tmp_path, monkeypatch)
    with Store(folder).publish(pulled_codec(config.codec)[1]) as aside:
        aside.write_bytes(b"another")
    with pytest.raises(WeightsMissing, match=r"cannot be fetched from the hub.* its manifest says"):
        load_codec(config.codec, "cpu", "float32", Weights.of(folder))


def test_the_named_digest_counts_for_a_pulled_checkpoint_too(tmp_path):
    path = tmp_path / "pulled" / "restorers" / "any.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1")
    entry = PulledFile(sha256=hashlib.sha256(b"1").hexdigest(), size=1, source="test")
    write_manifest(str(tmp_path / "pulled"), {"restorers/any.pth": entry})
    spec = SpandrelCheckpoint(
        kind="spandrel", checkpoint=str(tmp_path / "any.pth"), sha256="0" * 64
    )
    with pytest.raises(WeightsMissing, match=r"must have the sha256 0{64}"):
        locate_checkpoint(spec, Weights.of(str(tmp_path / "pulled")))


def test_a_folder_that_cannot_be_written_is_told(world, write_config, dotpipe, tmp_path):
    to = tmp_path / "to"
    to.mkdir()
    (to / "codecs").write_text("no folder")
    code, out, err = dotpipe("weights", "pull", write_config(), to)
    assert code == 1
    assert len(out.splitlines()) == 2
    assert f"{to} must be a folder or bucket to write to, got " in err
    code, out, err = dotpipe("weights", "pull", write_config(), to / "codecs" / "below")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {to}/codecs/below/manifest.json cannot be read: ")


def test_weights_are_anchored_at_the_configuration(write_config, tmp_path):
    assert load_config(write_config(weights="pulled")).weights == str(tmp_path / "pulled")
    assert load_config(write_config(weights="s3://a/b")).weights == "s3://a/b"


def test_a_configuration_without_networks_needs_nothing(write_config, tmp_path, checkpoint):
    config = load_config(
        write_config(
            codec={"kind": "pixel"},
            restore={"kind": "bicubic"},
            evaluate={"lpips": None, "niqe": False, "features": None},
        )
    )
    assert list(pull_weights(config, str(tmp_path / "to"))) == []
    assert isinstance(config, Config)


def test_a_folder_that_was_never_filled_is_told_before_anything_runs(tmp_path):
    tree = {"name": "x", "workspace": "w", "corpora": {"restored": {"path": "r"}}}
    tree["corpora"]["natural"] = {"path": "n"}
    config = Config.model_validate({**tree, "weights": str(tmp_path / "nowhere")})
    with pytest.raises(ConfigurationError, match=r"weights must be a folder .* without a manifest"):
        require_pulled(config)
