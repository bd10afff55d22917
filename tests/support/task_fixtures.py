"""Tiny corpora, and the steps of a run as plain functions, without Prefect."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import squeezenet1_1
from workspaces.plain_pipeline import do

from tasks.config import Config, Run
from tasks.config.step_names import enhancement_step
from tasks.enhance.match import require_matches
from tasks.enhance.plan import plan_enhancement
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.fit.operators import FittedRun
from tasks.fit.operators import fitted as find_fitted
from tasks.fit.select import plan_selection, read_selection
from tasks.io.networks.features import extractors, perceptual
from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Outcome
from tasks.shard.index import plan_index, write_index


def draw_pixels(seed, height=24, width=32):
    """A smooth gradient with texture: neither constant nor white noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phase, slope = rng.uniform(0, 6, 3), rng.uniform(0.1, 0.6, 3)
    waves = 128 + 80 * np.sin(phase + slope * (x + 2 * y)[..., None])
    return (waves + rng.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)


def soften(pixels):
    """What a timid restorer gives: less contrast, and a little noise of its own."""
    rng = np.random.default_rng(int(pixels.sum()))
    softened = 128 + 0.6 * (pixels.astype(float) - 128) + rng.normal(0, 3, pixels.shape)
    return softened.clip(0, 255).astype(np.uint8)


@dataclass
class Steps:
    """The steps of one configuration, run in order by plain functions."""

    config: Config

    @property
    def workspace(self):
        return Workspace(self.config.workspace)

    def shard(self) -> dict[str, Outcome | None]:
        """Make all data sets; returns what each index counts, None where it stands already."""
        made = do(self.opened, lambda step: step.verb in ("shard", "train", "restore"))
        indices = {
            dataset: f"{dataset_folder(dataset)}/index" for dataset in self.config.datasets()
        }
        return {
            dataset: self._counted(index) if index in made else None
            for dataset, index in indices.items()
        }

    def _counted(self, index: str) -> Outcome:
        ledger = self.workspace.ledger
        (record,) = ledger.survey(index.rpartition("/")[0]).records(index)
        facts = ledger.facts(record)
        return Outcome(images=facts["images"], refused=facts["refused"])

    def index(self, dataset, shards):
        job = plan_index(self.opened, dataset, shards)
        return None if job is None else write_index(job)

    def select(self):
        do(self.opened, lambda step: step.name == "choose images")
        return read_selection(self.workspace, plan_selection(self.opened)[0])

    def fit(self):
        """Make the operator; returns the outcomes of the measured shards."""
        return do(self.opened, lambda step: step.verb == "fit")["measure latent patches"]

    def match(self):
        do(self.opened, lambda step: step.name == "match the reference")
        require_matches(self.opened)

    def enhancement_jobs(self, *, with_images=True):
        planned = plan_enhancement(self.fitted, with_images=with_images)
        return [unit.job for unit in planned if unit.job is not None]

    def enhance(self):
        """Enhance and score; returns the outcomes of the shards."""
        self.match()
        name = enhancement_step(self.config)
        return do(self.opened, lambda step: step.name == name)[name]

    def report(self):
        """Summarise and report; returns the rows of the summary."""
        verbs = ("evaluate", "report")
        do(self.opened, lambda step: step.verb in verbs and not step.repeats)
        return read_summary(self.workspace, summary_artifact(self.fitted))

    @property
    def opened(self) -> Run:
        """The configuration and its workspace, opened anew."""
        return Run.of(self.config)

    @property
    def fitted(self) -> FittedRun:
        """The same with its operator."""
        return find_fitted(self.opened)

    @property
    def operator(self):
        return self.fitted.operator.name

    def run(self):
        self.shard()
        self.fit()
        self.enhance()
        return self.report()


@pytest.fixture(scope="session")
def pixels():
    """Draws the pixels of a small photograph; the seed tells them apart."""
    return draw_pixels


@pytest.fixture(scope="session")
def softened():
    """What a restorer that lost contrast made of the pixels."""
    return soften


@pytest.fixture(scope="session")
def write_images():
    """Writes pixels, or bytes as they are, below a folder; names have extensions."""

    def write(folder: Path, images):
        for name, image in images.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(image, bytes):
                path.write_bytes(image)
            else:
                Image.fromarray(image).save(path)
        return folder

    return write


@pytest.fixture(scope="session")
def steps():
    """Makes a configuration with the pixel codec out of a few sections, and its steps."""

    def make(workspace, corpora, **sections):
        tree = {
            "name": "run",
            "workspace": str(workspace),
            "corpora": {
                role: corpus if isinstance(corpus, dict) else {"path": str(corpus)}
                for role, corpus in corpora.items()
            },
            "codec": {"kind": "pixel", "factor": 2},
            "patches": {"size": 1},
            "enhance": {"alphas": [0, 0.5, 1]},
            "evaluate": {"lpips": None, "niqe": False, "features": None, "curve": None},
            "shards": {"images": 3},
            "compute": {"device": "cpu"},
        }
        for name, section in sections.items():
            merged = isinstance(section, dict) and name in tree and "kind" not in section
            tree[name] = {**tree[name], **section} if merged else section
        return Steps(Config.model_validate(tree))

    return make


@pytest.fixture(scope="session")
def photographs(tmp_path_factory, write_images):
    """Folders of eight restored images of two sizes, and of their natural originals."""
    folder = tmp_path_factory.mktemp("photographs")
    natural = {
        f"{'ab'[i % 2]}/{i}.png": draw_pixels(i, *((24, 32) if i < 5 else (21, 17)))
        for i in range(8)
    }
    restored = {name: soften(image) for name, image in natural.items()}
    return {
        "natural": write_images(folder / "natural", natural),
        "restored": write_images(folder / "restored", restored),
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory, steps, photographs):
    """A whole run over the photographs, their originals being the reference too; to read."""
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    whole = steps(tmp_path_factory.mktemp("finished"), corpora)
    whole.run()
    return whole


@pytest.fixture
def finished_copy(finished, tmp_path):
    """The same run with a workspace of its own, to be changed.

    Its report holds the place of the other, so that the next run makes it again.
    """
    workspace = shutil.copytree(finished.config.workspace, tmp_path / "workspace")
    return Steps(finished.config.model_copy(update={"workspace": str(workspace)}))


@pytest.fixture(scope="module")
def squeezenet_weights(tmp_path_factory):
    """The file of random weights of SqueezeNet, the network of LPIPS and of features."""
    home = tmp_path_factory.mktemp("torch")
    path = home / "hub" / "checkpoints" / PUBLISHED["squeezenet"].name
    path.parent.mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield path
    for cache in (extractors._load_extractor, perceptual._load_lpips):
        cache.cache_clear()


@pytest.fixture(scope="module")
def larger(tmp_path_factory, pixels, softened, write_images):
    """Four images that LPIPS can see."""
    folder = tmp_path_factory.mktemp("larger")
    natural = {f"{i}.png": pixels(i, 32, 40) for i in range(4)}
    return {
        "restored": write_images(folder / "x", {n: softened(p) for n, p in natural.items()}),
        "reference": write_images(folder / "y", natural),
    }
