"""A workspace that grew night by night, a few images a time, and is given back as it was."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workspaces.plain_pipeline import do

from tasks.compact.compact import Compacted, compact
from tasks.config import Config, Run
from tasks.config.registry import register
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.fit.operators import fitted
from tasks.io.catalogue.sampling import hash_of
from tasks.io.workspace import Workspace
from tasks.pipeline import whole_pipeline

NIGHTS = ("da", "fb", "ec")
"""Keys of the images of each night; the reference has them all, and so has the restored corpus."""


@dataclass
class Grown:
    """A data set on its way, and its configuration."""

    folder: Path
    config: Config

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.config.workspace)

    @property
    def opened(self) -> Run:
        return Run.of(self.config)

    def run(self, without: tuple[str, ...] = ()) -> None:
        """All that is missing, as a user's run does it, but for the steps of some verbs."""
        register(self.config)
        do(Run.of(self.config), lambda step: not step.repeats and step.verb not in without)

    def compact(self) -> list[Compacted]:
        return compact(self.config)

    def missing(self) -> list[str]:
        """What a run would have to do."""
        return [
            f"{step.name} {unit.unit}"
            for step in whole_pipeline(Run.of(self.config))
            for unit in step.units()
            if unit.job is not None
        ]

    def numbers(self) -> list[dict[str, Any]]:
        return read_summary(self.workspace, summary_artifact(fitted(Run.of(self.config))))

    def records(self) -> set[str]:
        """Names of all records but the report's, whose bytes tell when it was made."""
        names = {record.path for record in self.workspace.ledger.survey("").all()}
        return {name for name in names if "/report@" not in name}


@pytest.fixture(scope="session")
def add_images(write_images, pixels, softened):
    """Adds images of these keys to both corpora below a folder."""

    def add(folder, keys):
        natural = {f"{key}.png": pixels(ord(key[-1]), 32, 40) for key in keys}
        write_images(folder / "reference", natural)
        write_images(folder / "restored", {name: softened(p) for name, p in natural.items()})

    return add


@pytest.fixture(scope="session")
def grow(steps, add_images):
    """Makes a workspace in a folder by a run for each night."""

    def make(folder, nights=NIGHTS, corpora=("restored", "reference"), url=None, **sections):
        tree = {"shards": {"images": 12}, "enhance": {"alphas": [0]}, **sections}
        paths = {role: folder / role for role in corpora}
        own = steps(url or folder / "workspace", paths, **tree)
        grown = Grown(folder, own.config)
        for keys in nights:
            add_images(folder, keys)
            grown.run(without=("evaluate", "report"))
        grown.run()
        return grown

    return make


@pytest.fixture(scope="module")
def once_grown(tmp_path_factory, grow, squeezenet_weights):
    """With features, a curve and an operator that was fitted on some of the images."""
    folder = tmp_path_factory.mktemp("nights")
    evaluate = {"lpips": "squeeze", "features": "squeezenet", "curve": {}, "niqe": False}
    grown = grow(folder, fit={"images": 4}, evaluate=evaluate, enhance={"alphas": [0, 1]})
    shutil.copytree(folder / "workspace", folder / "kept")
    shutil.copytree(folder / "restored", folder / "kept-restored")
    return grown


@pytest.fixture
def grown(once_grown):
    """The same for each test, which may change it."""
    yield once_grown
    folder = once_grown.folder
    shutil.rmtree(folder / "workspace")
    shutil.copytree(folder / "kept", folder / "workspace")
    known = {path.name for path in (folder / "kept-restored").iterdir()}
    for role in ("restored", "reference"):
        for path in (folder / role).iterdir():
            if path.name not in known:
                path.unlink()
    shutil.copytree(folder / "kept-restored", folder / "restored", dirs_exist_ok=True)


@pytest.fixture(scope="session")
def keys_not_chosen():
    """Single letters that no fit on ``images`` of ``keys`` chooses."""

    def find(keys, images):
        drawn = sorted(hash_of(key, 0) for key in keys)[images - 1]
        return [each for each in "ghijklmnopqrstuvwxyz" if hash_of(each, 0) > drawn]

    return find
