"""One Prefect server for all flows, eight tiny photographs, and a finished run over them."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from prefect.settings import PREFECT_HOME, temporary_settings
from workspaces.killable_runs import nursery

from flows.backfill import backfill
from flows.cli import main
from flows.cli.commands import QUIET
from flows.service.server import prefect_server
from flows.steps.reports import StepReport
from tasks.config import Config, load_config
from tasks.io.ledger import Record
from tasks.io.store.spool import PARTIAL


@dataclass(frozen=True)
class Project:
    """A folder with photographs, a configuration file, and the workspace it names."""

    folder: Path
    name: str = "tiny.yaml"

    @property
    def file(self) -> Path:
        """The configuration file."""
        return self.folder / self.name

    @property
    def workspace(self) -> Path:
        """Where everything is made."""
        return self.folder / "workspace"

    def configure(self, **sections) -> Config:
        """Write the configuration, some sections changed, and load it."""
        tree = yaml.safe_load(TINY)
        for name, section in sections.items():
            both = isinstance(section, dict) and isinstance(tree.get(name), dict)
            tree[name] = {**tree[name], **section} if both else section
        self.file.write_text(yaml.safe_dump(tree, sort_keys=False), "utf-8")
        return load_config(self.file)

    def files(self) -> dict[str, bytes]:
        """All files of the workspace with their bytes."""
        return {name: path.read_bytes() for name, path in self._paths()}

    def hold(self, files: Mapping[str, bytes]) -> None:
        """Have the workspace be these files, by their names."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        for name, data in files.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def versions(self) -> dict[str, tuple[int, int]]:
        """All files of the workspace; a file that is written again has another version."""
        found = ((name, path.stat()) for name, path in self._paths())
        return {name: (status.st_mtime_ns, status.st_ino) for name, status in found}

    def records(self) -> dict[Record, dict]:
        """The ledger: every record with its body."""
        return {
            Record.parse(name): json.loads(data)
            for name, data in self.files().items()
            if name.startswith("ledger/")
        }

    def lasting(self) -> dict[str, bytes]:
        """Files that must not differ between two runs, and the digests of their records.

        Each run has a log of its own. The report alone tells how long steps took. Fingerprints
        and the configuration tell where the corpora lie. What a killed process had in hand stays
        until the next run.
        """
        files = {
            name: data
            for name, data in self.files().items()
            if not name.startswith(("ledger/", "configurations/", "logs/", ".partial/"))
            and not name.endswith(("report.html", "run.json"))
        }
        digests = {
            f"ledger/{record.artifact}={record.digest}": b""
            for record in self.records()
            if not record.artifact.endswith("/report")
        }
        return files | digests

    def vouch(self) -> set[str]:
        """The files that records vouch for, each checked against what its record says."""
        files, vouched = self.files(), set()
        for record, body in self.records().items():
            for name, facts in body["files"].items():
                assert name in files, f"{record} vouches for {name}, which is not there"
                assert len(files[name]) == facts["size"], name
                digest = hashlib.sha256(files[name]).hexdigest()
                assert facts["sha256"] == digest, name
                assert name not in vouched, f"{name} has two records"
                vouched.add(name)
        return vouched

    def partial(self) -> list[str]:
        """Files that were left half-written."""
        return [name for name in self.files() if name.startswith(PARTIAL)]

    def _paths(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.workspace.rglob("*")):
            if path.is_file():
                yield path.relative_to(self.workspace).as_posix(), path


TINY = """
name: tiny
workspace: workspace
corpora:
  natural: {path: natural}
  reference: {path: reference}
degrade:
  - {kind: noise, sigma: 0.1}
restore: {kind: non-local-means}
codec: {kind: pixel, factor: 2}
patches: {size: 1}
enhance: {alphas: [0, 0.5]}
evaluate: {lpips: null, niqe: false, features: null, curve: {step: 1}}
shards: {images: 3}
compute: {device: cpu, batch: 2}
"""


@pytest.fixture(scope="session")
def shell() -> Callable[..., dict[str, str]]:
    """The environment of a user with this home of Prefect, and a server only if one is given."""

    def variables(home: Path, server: str | None = None) -> dict[str, str]:
        known = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        known |= {"PREFECT_HOME": str(home), "COLUMNS": "120"}
        return known | ({"PREFECT_API_URL": f"{server}/api"} if server else {})

    return variables


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory) -> Iterator[Path]:
    """A history of its own: that of whoever runs the tests is not touched."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_HOME: home}):
        for name, value in {**QUIET, "PREFECT_HOME": str(home)}.items():
            patch.setenv(name, value)
        patch.delenv("PREFECT_API_URL", raising=False)
        yield home


@pytest.fixture(scope="session")
def server(prefect_home) -> Iterator[str]:
    """The address of one server for all flows of the session, started as a user's would be."""
    with prefect_server() as address:
        yield address


@pytest.fixture(scope="session")
def run_in_process(server):
    """Runs a project's job in a process of its own, which may be killed; returns its exit code."""
    with nursery(server) as run:
        yield run


@pytest.fixture(scope="session")
def draw():
    """Draws a smooth picture with texture, other for every seed, and writes it."""

    def written(path: Path, seed: int, height: int = 24, width: int = 32) -> None:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width]
        phase, slope = rng.uniform(0, 6, 3), rng.uniform(0.1, 0.6, 3)
        waves = 128 + 80 * np.sin(phase + slope * (x + 2 * y)[..., None])
        pixels = (waves + rng.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    return written


@pytest.fixture(scope="session")
def picture_folders(tmp_path_factory, draw) -> Path:
    """Folders of eight pictures of two sizes to enhance, and of four to fit on."""
    folder = tmp_path_factory.mktemp("photographs")
    for number in range(8):
        size = (24, 32) if number < 5 else (21, 17)
        draw(folder / "reference" / f"{'ab'[number // 4]}/{number}.png", number, *size)
    for number in range(4):
        draw(folder / "natural" / f"{number}.png", 100 + number)
    return folder


@pytest.fixture(scope="session")
def new_project(picture_folders) -> Callable[[Path], Project]:
    """Makes the photographs and a configuration in a folder; nothing has been run."""

    def made(folder: Path) -> Project:
        fresh = Project(shutil.copytree(picture_folders, folder))
        fresh.configure()
        return fresh

    return made


@pytest.fixture
def project(tmp_path, new_project) -> Project:
    """The photographs and a configuration; nothing has been run."""
    return new_project(tmp_path / "project")


@pytest.fixture
def dotpipe(monkeypatch, capsys):
    """Runs the command in this process; returns its exit code, output, and error output."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DO_NOT_TRACK", "1")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dotpipe", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return exited.value.code or 0, out, err

    return run


@pytest.fixture(scope="session")
def artifacts(server):
    """Lists the artifacts that the server knows, the newest first."""

    def listed() -> list[dict]:
        asked = {"sort": "CREATED_DESC", "limit": 200}
        return httpx.post(f"{server}/api/artifacts/filter", json=asked).raise_for_status().json()

    return listed


class Backfilled(NamedTuple):
    """A project after its first run, and what that run returned and left with Prefect."""

    project: Project
    reports: list[StepReport]
    address: str
    artifacts: list[dict]


@pytest.fixture(scope="session")
def secret() -> Iterator[str]:
    """Something that the environment knows and nobody is to be told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-key-that-must-not-be-told")
        yield os.environ["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="session")
def backfilled(tmp_path_factory, picture_folders, artifacts, secret) -> Backfilled:
    """A project whose job has been run once; to read."""
    once = Project(shutil.copytree(picture_folders, tmp_path_factory.mktemp("once") / "project"))
    known = [artifact["id"] for artifact in artifacts()]
    reports, address = backfill(once.configure())
    left = [artifact for artifact in artifacts() if artifact["id"] not in known]
    return Backfilled(once, reports, address, left)


@pytest.fixture
def complete(backfilled, tmp_path) -> Iterator[Project]:
    """The project after its first run, to be changed: it is put back as it was."""
    project = backfilled.project
    kept = shutil.copytree(project.folder, tmp_path / "kept")
    yield project
    shutil.rmtree(project.folder)
    kept.rename(project.folder)


@pytest.fixture(scope="session")
def undisturbed(backfilled) -> dict[str, bytes]:
    """What a run leaves that nothing has happened to."""
    return backfilled.project.lasting()
