"""Feature networks with random weights in the files' real formats; no file is fetched."""

import hashlib
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from dot_kernels import local_activations
from tasks.io.errors import WeightsMissing
from tasks.io.networks.features import extractors, feature_networks
from tasks.io.networks.features.extractors import (
    Network,
    extractor_identity,
    extractor_names,
    feature_folder,
    fetch_extractor,
    load_extractor,
)
from tasks.io.networks.published_weights import PUBLISHED
from tests.support.networks.small_dinov2 import vit_tensors

INCEPTION = PUBLISHED["inception-v3-compat"].name
SQUEEZENET = PUBLISHED["squeezenet"].name


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """A hub folder without weights, and no way to any."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    extractors._load_extractor.cache_clear()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    yield folder
    extractors._load_extractor.cache_clear()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Inception with random weights, in the format of torch-fidelity's file."""
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    class Blank(inception.FeatureExtractorInceptionV3):
        def load_state_dict(self, *_, **__):
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: None)
        torch.manual_seed(0)  # torch-fidelity initialises from the global state
        blank = Blank("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / INCEPTION
    torch.save(blank.state_dict(), path)
    return path


@pytest.fixture
def squeezenet_file(checkpoints):
    """SqueezeNet with random weights under the published file's name."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), checkpoints / SQUEEZENET)
    return checkpoints / SQUEEZENET


@pytest.fixture
def images(rng):
    return torch.randint(0, 256, (2, 3, 40, 57), generator=rng, dtype=torch.uint8)


def publish(monkeypatch, network, path):
    """Take a file's digest for the published one."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(PUBLISHED, network, replace(PUBLISHED[network], sha256=sha256))


def test_every_network_has_its_file():
    assert set(get_args(Network)) == PUBLISHED.keys() - {"alexnet", "vgg16", "niqe", "dists"}


def test_the_networks_are_those_of_torch_fidelity():
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    assert FEATURE_EXTRACTORS_REGISTRY.keys() - {"vgg16"} == set(get_args(Network)) - {"squeezenet"}


def test_addresses_and_digests_are_those_of_torch_fidelity():
    from torch_fidelity.feature_extractor_clip import MODEL_METADATA, MODEL_URLS
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    assert {name: PUBLISHED[name].address for name in MODEL_URLS} == MODEL_URLS
    assert {name: PUBLISHED[name].sha256 for name in MODEL_URLS} == {
        name: entry["hash"] for name, entry in MODEL_METADATA.items()
    }
    assert PUBLISHED["inception-v3-compat"].address == URL_INCEPTION_V3


def test_inception_with_random_weights_gives_what_torch_fidelity_gives(
    inception_file, checkpoints, images, capfd
):
    from torch_fidelity import FeatureExtractorInceptionV3

    shutil.copy(inception_file, checkpoints)
    extractor = load_extractor("inception-v3-compat", "cpu")
    found = extractor(images)
    reference = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], str(inception_file)
    )
    features, logits = reference(images)
    assert torch.equal(found.features, features)
    assert torch.equal(found.logits, logits)
    assert (extractor.dimension, extractor.classes) == features.shape[1:] + logits.shape[1:]
    assert load_extractor("inception-v3-compat", "cpu") is extractor
    assert capfd.readouterr() == ("", "")
    smallest = extractor.shortest_side
    assert extractor(images[:, :, :smallest, :smallest]).features.isfinite().all()


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (type(self.trace).touch, (self.trace,))


@pytest.mark.parametrize("save", [torch.save, lambda what, path: path.write_bytes(what)])
@pytest.mark.parametrize("network", ["inception-v3-compat", "squeezenet", "dinov2-vit-s-14"])
def test_code_in_place_of_weights_is_refused_and_not_run(network, save, checkpoints, tmp_path):
    payload = Payload(tmp_path / "trace")
    path = checkpoints / PUBLISHED[network].name
    save(payload if save is torch.save else pickle.dumps(payload), path)
    with pytest.raises(WeightsMissing, match=r"must hold tensors as torch saves them and no code"):
        load_extractor(network, "cpu")
    assert extractor_identity(network) is None
    assert path.exists()
    assert not payload.trace.exists()


def test_a_file_that_is_cut_short_is_refused(squeezenet_file):
    squeezenet_file.write_bytes(squeezenet_file.read_bytes()[:-1000])
    assert extractor_identity("squeezenet") is None
    with pytest.raises(WeightsMissing, match=r"be whole.*remove the file at .* or set evaluate"):
        fetch_extractor("squeezenet")


def test_weights_of_another_network_are_told(squeezenet_file, inception_file, checkpoints):
    shutil.copy(squeezenet_file, checkpoints / INCEPTION)
    with pytest.raises(WeightsMissing, match=r"must hold the weights of inception-v3-compat"):
        load_extractor("inception-v3-compat", "cpu")


def test_missing_weights_are_told_with_every_remedy(checkpoints):
    assert extractor_identity("inception-v3-compat") is None
    with pytest.raises(WeightsMissing) as caught:
        fetch_extractor("inception-v3-compat")
    for said in (
        f"needs {INCEPTION}, which cannot be fetched",
        f"put it at {checkpoints / INCEPTION}",
        "TORCH_HOME",
        "dotpipe weights pull CONFIG DEST",
        "weights: DEST",
        "evaluate.features to squeezenet (small, not FID) or to null",
    ):
        assert said in str(caught.value)


def test_fid_is_the_name_of_the_published_weights_alone(inception_file, checkpoints, monkeypatch):
    assert extractor_names("inception-v3-compat") == ("FID", "KID", "CMMD", "MIND")  # not there yet
    shutil.copy(inception_file, checkpoints)
    altered = extractor_identity("inception-v3-compat")["sha256"][:8]
    assert extractor_names("inception-v3-compat") == (
        f"FD-inception (altered {altered})",
        f"KD-inception (altered {altered})",
        f"CMMD-inception (altered {altered})",
        f"MIND-inception (altered {altered})",
    )
    publish(monkeypatch, "inception-v3-compat", inception_file)
    assert extractor_names("inception-v3-compat") == ("FID", "KID", "CMMD", "MIND")


def test_other_networks_are_named(squeezenet_file, monkeypatch):
    assert extractor_names("clip-vit-b-32") == tuple(
        f"{kind}-clip-vit-b-32" for kind in ("FD", "KD", "CMMD", "MIND")
    )
    assert extractor_names("clip-vit-l-14-336px").cmmd == "CMMD"
    identity = extractor_identity("squeezenet")
    altered = identity["sha256"][:8]
    assert extractor_names("squeezenet").frechet == f"FD-squeezenet (altered {altered})"
    assert feature_folder(identity) == f"squeezenet-{identity['sha256'][:12]}"
    publish(monkeypatch, "squeezenet", squeezenet_file)
    assert extractor_names("squeezenet") == tuple(
        f"{kind}-squeezenet" for kind in ("FD", "KD", "CMMD", "MIND")
    )


def test_squeezenet_with_random_weights_is_torchvisions_after_five_layers(squeezenet_file, images):
    from torchvision.models import squeezenet1_1
    from torchvision.transforms.functional import normalize

    module = squeezenet1_1(weights=None)
    module.load_state_dict(torch.load(squeezenet_file, weights_only=True))
    scaled = normalize(images / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = module.features[:5](scaled).mean(dim=(2, 3))
    extractor = load_extractor("squeezenet", "cpu")
    found = extractor(images)
    torch.testing.assert_close(found.features, expected)
    assert found.logits is None
    assert (extractor.dimension, extractor.classes) == (128, None)


def test_the_shortest_side_is_the_least_that_squeezenet_takes(squeezenet_file, images):
    extractor = load_extractor("squeezenet", "cpu")
    assert extractor(images[:, :, : extractor.shortest_side]).features.isfinite().all()
    with pytest.raises(RuntimeError, match="too small"):
        extractor.run(images[:, :, : extractor.shortest_side - 1])
    with pytest.raises(ValueError, match=r"sides of 5 pixels or more, got \(2, 3, 4, 57\)"):
        extractor(images[:, :, :4])


def test_images_of_another_kind_are_told(squeezenet_file, images):
    extractor = load_extractor("squeezenet", "cpu")
    with pytest.raises(TypeError, match=r"must be uint8, got torch.float32"):
        extractor(images / 255)
    with pytest.raises(ValueError, match=r"must be \(b, 3, h, w\)"):
        extractor(images[:, :1])


def test_features_do_not_depend_on_the_batch(squeezenet_file, images):
    extractor = load_extractor("squeezenet", "cpu")
    torch.testing.assert_close(
        extractor(images).features, torch.cat([extractor(image[None])[0] for image in images])
    )


@pytest.fixture
def clip_file(checkpoints, monkeypatch):
    """A tiny image tower with random weights, in the format of CLIP's files."""
    from torch_fidelity.feature_extractor_clip import VisionTransformer

    class Archive(nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = VisionTransformer(28, 14, 64, 1, 1, 16)
            self.text_projection = nn.Parameter(torch.empty(8, 16))

        def forward(self, x):
            return self.visual(x)

    torch.manual_seed(0)  # torch initialises from the global state
    path = checkpoints / PUBLISHED["clip-vit-b-32"].name
    with pytest.warns() as _:  # TorchScript is deprecated, and CLIP's files are in it
        torch.jit.save(torch.jit.trace(Archive().eval(), torch.zeros(1, 3, 28, 28)), path)
    return path


def test_clip_with_random_weights_and_their_digest_gives_torch_fidelitys_features(
    clip_file, images, monkeypatch
):
    publish(monkeypatch, "clip-vit-b-32", clip_file)
    extractor = load_extractor("clip-vit-b-32", "cpu")
    found = extractor(images)
    assert found.features.shape == (2, extractor.dimension) == (2, 16)
    assert found.features.dtype == torch.float32
    assert found.logits is None
    assert float(found.features.diff(dim=0).abs().max()) > 0


def test_a_clip_file_with_another_digest_is_not_opened(clip_file, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("was opened"))
    assert extractor_identity("clip-vit-b-32") is None
    with pytest.raises(WeightsMissing, match=r"must have the sha256 40d3657.*can hold code"):
        load_extractor("clip-vit-b-32", "cpu")


@pytest.mark.parametrize(
    ("network", "gated"), [("dinov2-vit-s-14", False), ("dinov2-vit-g-14", True)]
)
def test_dinov2_with_random_weights_gives_features(checkpoints, rng, images, network, gated):
    torch.save(vit_tensors(rng, gated=gated), checkpoints / PUBLISHED[network].name)
    extractor = load_extractor(network, "cpu")
    found = extractor(images)
    assert found.features.shape == (2, extractor.dimension) == (2, 128)
    assert float(found.features.diff(dim=0).abs().max()) > 0
    assert "altered" in extractor_names(network).frechet


def test_dinov2_lacking_a_tensor_is_told(checkpoints, rng):
    tensors = vit_tensors(rng, gated=False)
    del tensors["blocks.1.ls2.gamma"]
    torch.save(tensors, checkpoints / PUBLISHED["dinov2-vit-s-14"].name)
    with pytest.raises(WeightsMissing, match=r"weights of dinov2-vit-s-14: .*ls2.gamma"):
        load_extractor("dinov2-vit-s-14", "cpu")


def test_importing_the_module_imports_no_network():
    said = (
        "import sys, tasks.io.networks.features.extractors\n"
        "print({'torch_fidelity', 'torchvision'} & {*sys.modules})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


@pytest.mark.parametrize("size", [(120, 131), (64, 202)])
def test_features_in_tiles_are_those_of_the_whole_image(squeezenet_file, monkeypatch, rng, size):
    images = torch.randint(0, 256, (2, 3, *size), generator=rng, dtype=torch.uint8)
    squeezenet = load_extractor("squeezenet", "cpu")
    expected, _ = squeezenet(images)
    monkeypatch.setattr(feature_networks, "WHOLE_PIXELS", 0)
    monkeypatch.setattr(local_activations, "_NUMBERS", 1 << 15)
    features, logits = squeezenet(images)
    assert logits is None
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-6)


def test_features_of_a_view_of_pixels_are_those_of_a_copy(squeezenet_file, monkeypatch, rng):
    pixels = torch.randint(0, 256, (1, 50, 60, 3), generator=rng, dtype=torch.uint8)
    view, squeezenet = pixels.movedim(-1, 1), load_extractor("squeezenet", "cpu")
    monkeypatch.setattr(feature_networks, "WHOLE_PIXELS", 0)
    assert torch.equal(squeezenet(view).features, squeezenet(view.contiguous()).features)
