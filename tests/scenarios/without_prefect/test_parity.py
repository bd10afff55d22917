"""The fidelity of a whole run is what torch-fidelity says of the same images in folders.

Networks have random weights, in the published files' formats, where torch's hub looks.
"""

import json
import tarfile

import numpy as np
import polars
import pytest
import torch
import torch_fidelity
from scipy.spatial.distance import cdist
from torch import nn
from torch_fidelity import FeatureExtractorInceptionV3, feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torchvision.models import squeezenet1_1
from workspaces import plain_pipeline as pipeline

import tasks.evaluate.features.distances
from dot_kernels import gelbrich_distance
from dot_kernels.metrics import Estimate
from dot_kernels.metrics.feature_statistics import GROUPS
from tasks.evaluate.summarise import plan_summary, summary_facts
from tasks.io.draws import draw_of
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.workspace import Signal

IMAGES = 2 * GROUPS
SUBSET = IMAGES // 2

NAMES = {
    "frechet": "frechet_inception_distance",
    "kernel": "kernel_inception_distance_mean",
    "kernel_spread": "kernel_inception_distance_std",
}
SCORES = {
    "inception_score": "inception_score_mean",
    "inception_score_spread": "inception_score_std",
}


def key_in_group(group, number):
    """A key whose image is in a group; keys sort by group."""
    names = (f"g{group}-{number}-{trial:03d}" for trial in range(1000))
    return next(name for name in names if draw_of(name) % GROUPS == group)


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    """A hub folder of this module's own."""
    home = tmp_path_factory.mktemp("torch")
    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield checkpoints


@pytest.fixture(scope="module")
def inception_file(torch_home):
    """Inception with random weights, in the format of torch-fidelity's file.

    Initialised so that signals keep their size through the network (He et al. 2015), or all
    images would have the same features; logits are spread, or every Inception Score were 1.
    """

    class Blank(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_, **__):
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *_, **__: None
        )
        blank = Blank("inception-v3-compat", ["2048"])
    generator = torch.Generator().manual_seed(0)
    for module in blank.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    nn.init.normal_(blank.fc.weight, std=1, generator=generator)
    path = torch_home / PUBLISHED["inception-v3-compat"].name
    torch.save(blank.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def squeezenet_file(torch_home):
    """SqueezeNet with random weights under the published file's name."""
    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), torch_home / PUBLISHED["squeezenet"].name)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, write_images, pixels, softened):
    """Two images in each of the ten groups, and what a restorer made of them."""
    folder = tmp_path_factory.mktemp("corpora")
    keys = [key_in_group(number // 2, number % 2) for number in range(IMAGES)]
    shades = np.random.default_rng(0).uniform(
        0.1, 1, (IMAGES, 3)
    )  # random networks see colour best
    natural = {
        f"{key}.png": (shade * pixels(seed, 40, 48)).astype(np.uint8)
        for seed, (key, shade) in enumerate(zip(keys, shades, strict=True))
    }
    restored = {name: softened(image) for name, image in natural.items()}
    return {
        "restored": write_images(folder / "restored", restored),
        "reference": write_images(folder / "reference", natural),
    }


def unpacked(run, signal, folder):
    """The images of an enhanced data set as files, all of one folder."""
    tars = run.workspace.store.local(f"enhanced/run/{run.operator}/{signal}")
    for path in sorted(tars.glob("*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                (folder / member.name).write_bytes(archive.extractfile(member).read())
    assert len(list(folder.iterdir())) == IMAGES
    return folder


def by_torch_fidelity(enhanced, reference, **options):
    return torch_fidelity.calculate_metrics(
        input1=str(enhanced),
        input2=str(reference),
        fid=True,
        kid=True,
        kid_subset_size=SUBSET,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,  # no processes that read images
        **options,
    )


@pytest.fixture(scope="module")
def by_inception(tmp_path_factory, steps, corpora, inception_file):
    """Our row at alpha 1/2, what torch-fidelity says, and what the summary says of itself."""
    run = steps(
        tmp_path_factory.mktemp("inception"),
        corpora,
        enhance={"alphas": [0.5], "format": "png"},
        evaluate={"features": "inception-v3-compat", "controls": False},
        shards={"images": 7},
    )

    def alone(a, b):
        """The error takes the roots of two more matrices of 2048 features."""
        return Estimate(gelbrich_distance(a.moments, b.moments), None)

    with pytest.MonkeyPatch.context() as patch:
        # Both sides: the network costs a seventh of what it does at 299 pixels.
        patch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 107)
        patch.setattr(tasks.evaluate.features.distances, "frechet_distance", alone)
        # It takes fourteen more distances.
        patch.setattr(
            tasks.evaluate.features.distances, "extrapolated_frechet_distance", lambda *_: None
        )
        (row,) = pipeline.run(run.config)
        theirs = by_torch_fidelity(
            unpacked(run, "alpha=+0.50", tmp_path_factory.mktemp("enhanced")),
            corpora["reference"],
            isc=True,
            feature_extractor="inception-v3-compat",
            samples_shuffle=False,  # in order of keys, so that their ten splits are our ten groups
            feature_extractor_weights_path=str(inception_file),
        )
    artifact, _ = plan_summary(run.fitted)
    return row, theirs, summary_facts(run.workspace, artifact)


TOLERANCES = {
    # Theirs has means in float32, and takes roots of 2,000 eigenvalues that should be zero,
    # as there are 20 images, and are 1e-16 of the largest.
    "frechet": {"rel": 1e-5},
    # Theirs takes kernels in float32: 1e-7 of numbers near one, whose differences these are.
    "kernel": {"rel": 1e-5, "abs": 1e-7},
    "kernel_spread": {"rel": 1e-5, "abs": 1e-7},
    # Batches are cut otherwise, so logits differ by the rounding of float32, some 1e-6 of them.
    "inception_score": {"rel": 1e-5},
    "inception_score_spread": {"rel": 1e-5},
}


@pytest.mark.parametrize("name", [*NAMES, *SCORES])
def test_inception_with_random_weights_gives_the_numbers_of_torch_fidelity(by_inception, name):
    row, theirs, _ = by_inception
    assert row[name] == pytest.approx(theirs[(NAMES | SCORES)[name]], **TOLERANCES[name])


def test_the_numbers_that_are_compared_are_no_trivial_ones(by_inception):
    row, _, _ = by_inception
    assert row["featured"] == IMAGES
    assert row["inception_score"] > 1.02
    assert row["kernel"] > 2 * row["kernel_spread"] > 0
    assert 0 < row["precision"] < 1 or 0 < row["recall"] < 1


def test_numbers_of_random_weights_are_not_called_fid_and_kid(by_inception):
    _, _, facts = by_inception
    assert facts["network"] == "inception-v3-compat"
    assert facts["frechet_name"].startswith("FD-inception (altered ")
    assert facts["kernel_name"].startswith("KD-inception (altered ")
    warnings = json.loads(facts["warnings"])
    assert len(warnings) == 4
    assert warnings[0].startswith("FD-inception (altered ")
    assert "2048 features, but there are 20 images and 20 to compare with" in warnings[0]
    assert "subsets of 10 images instead of 1000" in warnings[1]


class OurSqueezenet(FeatureExtractorBase):
    """Our network as torch-fidelity wants one."""

    def __init__(self, name, features_list, **_):
        super().__init__(name, features_list)
        self.extractor = load_extractor("squeezenet", "cpu")

    @staticmethod
    def get_provided_features_list():
        return ("mean",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric):
        return "mean"

    def forward(self, images):
        return (self.extractor(images).features,)


@pytest.fixture(scope="module")
def by_squeezenet(tmp_path_factory, steps, corpora, squeezenet_file):
    """Our rows by signal, torch-fidelity's answer for each alpha, and the workspace's root."""
    run = steps(
        tmp_path_factory.mktemp("squeezenet"),
        corpora,
        enhance={"alphas": [0.5, 1], "format": "png"},
        evaluate={"features": "squeezenet"},
        shards={"images": 3},
    )
    rows = {(row["signal"], row["alpha"]): row for row in pipeline.run(run.config)}
    theirs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FEATURE_EXTRACTORS_REGISTRY, "our-squeezenet", OurSqueezenet)
        for alpha in (0.5, 1.0):
            theirs[alpha] = by_torch_fidelity(
                unpacked(run, f"alpha={alpha:+.2f}", tmp_path_factory.mktemp("enhanced")),
                corpora["reference"],
                feature_extractor="our-squeezenet",
            )
    return rows, theirs, run.workspace.store.local("features")


@pytest.mark.parametrize("alpha", [0.5, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_squeezenet_with_random_weights_gives_the_numbers_of_torch_fidelity(
    by_squeezenet, alpha, name
):
    rows, theirs, _ = by_squeezenet
    expected = pytest.approx(theirs[alpha][NAMES[name]], **TOLERANCES[name])
    assert rows["enhanced", alpha][name] == expected


def test_the_same_images_are_at_no_distance_from_themselves(by_squeezenet):
    rows, _, _ = by_squeezenet
    same, other = rows["codec", None], rows["input", None]  # the pixel codec changes nothing
    assert same["frechet"] == pytest.approx(0, abs=1e-9 * other["frechet"])
    # Below zero: two subsets of one set share images, which the estimate takes for unlikely.
    assert -0.2 * other["kernel"] < same["kernel"] < 0
    assert same["precision"] == same["recall"] < 1  # an image does not hold its own reference


def test_the_monge_distance_is_of_every_networks_features_and_cmmd_of_clips_alone(by_squeezenet):
    rows, _, _ = by_squeezenet
    assert rows["codec", None]["mind"] == pytest.approx(0, abs=1e-9)
    assert rows["input", None]["mind"] > rows["enhanced", 0.5]["mind"] > 0
    assert {row["cmmd"] for row in rows.values()} == {None}


@pytest.mark.parametrize("signal", ["alpha+0.50", "alpha+1.00", "codec"])
def test_precision_and_recall_leave_out_an_images_own_reference(by_squeezenet, signal):
    rows, _, folder = by_squeezenet
    images = polars.read_parquet(folder / "run" / "*" / signal / "*.parquet")
    reference = polars.read_parquet(folder / "reference" / "*" / "*.parquet")
    assert images["key"].equals(reference["key"])
    sides = [table["features"].to_numpy().astype(float) for table in (images, reference)]
    row = next(row for key, row in rows.items() if Signal(*key).folder == signal)
    for name, (points, centres) in {"precision": sides, "recall": sides[::-1]}.items():
        reach = np.sort(cdist(centres, centres), axis=1)[:, 3]
        held = (cdist(points, centres) <= reach * (1 + 1e-9)) & ~np.eye(IMAGES, dtype=bool)
        assert row[name] == pytest.approx(held.any(axis=1).mean())
        assert row[f"{name}_error"] > 0


def test_a_network_without_classes_has_no_inception_score(by_squeezenet):
    rows, _, _ = by_squeezenet
    assert {row["inception_score"] for row in rows.values()} == {None}
