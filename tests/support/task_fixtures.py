"""Tiny corpora, and the steps of a run as plain functions, without Prefect."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.config import Config, Run
from tasks.enhance.enhance import write_enhanced
from tasks.enhance.match import plan_matches, require_matches, write_matches
from tasks.enhance.plan import plan_enhancement
from tasks.evaluate.extract import plan_extraction, write_features
from tasks.evaluate.fidelity import plan_fidelity, write_fidelity
from tasks.evaluate.summarise import plan_summary, write_summary
from tasks.fit.decide import make_decision, plan_decision
from tasks.fit.measure import plan_both_measurements, write_moments
from tasks.fit.operators import FittedRun
from tasks.fit.operators import fitted as find_fitted
from tasks.fit.reduce import plan_reduction, write_operator
from tasks.fit.select import plan_selection, read_selection, write_selection
from tasks.io.workspace import Workspace
from tasks.jobs import Outcome
from tasks.report.report import make_report, plan_report
from tasks.shard.index import plan_index, write_index
from tasks.shard.restore import plan_restoration, write_restored_shard
from tasks.shard.retire import plan_retirement, retire
from tasks.shard.shard import plan_shards, write_corpus_shard


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

    def shard(self) -> dict[str, Outcome]:
        """Shard every corpus, make the restored ones; returns each index's outcome."""
        config, outcomes = self.config, {}
        for dataset, corpus in config.given_datasets().items():
            units = {}
            for unit in plan_shards(self.opened, corpus, dataset):
                units[unit.unit] = unit.fingerprint
                if unit.job is not None:
                    write_corpus_shard(unit.job)
            outcomes[dataset] = self.index(dataset, units)
        for dataset, clean in config.made_datasets().items():
            planned = plan_restoration(self.opened, clean, dataset)
            for unit in planned:
                if unit.job is not None:
                    write_restored_shard(unit.job)
            outcomes[dataset] = self.index(
                dataset, {unit.unit: unit.fingerprint for unit in planned}
            )
        if (job := plan_retirement(self.opened)) is not None:
            retire(job)
        return outcomes

    def index(self, dataset, shards):
        job = plan_index(self.opened, dataset, shards)
        return None if job is None else write_index(job)

    def select(self):
        artifact, job = plan_selection(self.opened)
        if job is not None:
            write_selection(job)
        return read_selection(self.workspace, artifact)

    def fit(self):
        """Select, measure, reduce; returns the outcomes of the measured shards."""
        selection = self.select()
        planned = plan_both_measurements(self.opened, selection)
        outcomes = [write_moments(unit.job) for unit in planned if unit.job is not None]
        if (decision := plan_decision(self.opened, selection)) is not None:
            make_decision(decision)
        _, job = plan_reduction(self.opened, selection)
        if job is not None:
            write_operator(job)
        return outcomes

    def match(self):
        job = plan_matches(self.opened)
        if job is not None:
            write_matches(job)
        require_matches(self.opened)

    def enhancement_jobs(self, *, tars=True):
        planned = plan_enhancement(self.fitted, tars=tars)
        return [unit.job for unit in planned if unit.job is not None]

    def enhance(self):
        self.match()
        return [write_enhanced(job) for job in self.enhancement_jobs()]

    def report(self):
        """Summarise and report; returns the rows of the summary."""
        for unit in plan_extraction(self.opened):
            if unit.job is not None:
                write_features(unit.job)
        for unit in plan_fidelity(self.fitted):
            if unit.job is not None:
                write_fidelity(unit.job)
        _, job = plan_summary(self.fitted)
        rows = write_summary(job) if job is not None else None
        _, job = plan_report(self.fitted)
        if job is not None:
            make_report(job)
        return rows

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
            "evaluate": {"lpips": None, "features": None, "curve": None},
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
