"""Plug-ins where tasks run in other processes: on a Ray cluster, and by a worker of a pool."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from servers.postgres import postgres
from servers.prefect_service import QUICK, prefect_service, worker
from servers.ray_nodes import ray_nodes

from flows.backfill import backfill
from tasks.io.errors import ConfigurationError
from tests.support.standins.packages_on_path import installed, lay_down
from tests.support.standins.packages_on_path import project as pyproject

pytestmark = [pytest.mark.slow, pytest.mark.service]

DOTPIPE = Path(sys.executable).with_name("dotpipe")

DARKER = """
class Darker:
    def __init__(self, device: str, by: float) -> None:
        self.by = by

    def __call__(self, images):
        return images * (1 - self.by)
"""

WARMTH = """
class Warmth:
    title, better = "warmth", "more"

    def __init__(self, device: str) -> None:
        pass

    def __call__(self, image):
        return float(image[0].mean() - image[2].mean())
"""

PACKAGES = ("restorer", "darker:Darker", DARKER), ("metric", "warmth:Warmth", WARMTH)

SECTIONS = {
    "restore": {"kind": "plug-in", "entry": "darker", "options": {"by": 0.25}},
    "evaluate": {"lpips": None, "niqe": False, "features": None, "plug_ins": ["warmth"]},
}

MISSING = (
    "must name a restorer that an installed package brings (entry points dotpipe.restorers), got "
    "'darker'; none is installed; install its package beside dotpipe, on every machine that runs "
    "tasks, or correct the name"
)


@pytest.fixture
def packages(tmp_path):
    """A folder with a package of a restorer and one of a metric."""
    for kind, target, code in PACKAGES:
        lay_down(tmp_path / "site", pyproject(kind, target), code)
    return tmp_path / "site"


@pytest.fixture
def here(tmp_path):
    """Both packages are installed where a block of this process runs."""

    @contextmanager
    def both():
        (restorer, metric) = ((pyproject(kind, target), code) for kind, target, code in PACKAGES)
        site = tmp_path / "here"
        with installed(site / "a", *restorer), installed(site / "b", *metric):
            yield

    return both


def require_measured(project):
    """The metric has a number of every restored and of every enhanced image."""
    table = ds.dataset(project.workspace / "metrics", format="parquet").to_table()
    rows = zip(*(table[name].to_pylist() for name in ("signal", "plug_in_warmth")), strict=True)
    found = [warmth for signal, warmth in rows if signal in ("input", "enhanced")]
    assert len(found) == 3 * 8
    assert None not in found


@pytest.fixture
def on_ray(project, server, tmp_path_factory):
    """Does the job of the project on a cluster of one node."""

    def run(*packages):
        folder = tmp_path_factory.mktemp("ray")
        with ray_nodes(folder, {"num_cpus": 2}, packages=packages) as nodes:
            runner = {"kind": "ray", "address": nodes.client}
            backfill(project.configure(**SECTIONS, compute={"runner": runner}))

    return run


def test_on_ray_they_give_what_they_give_in_threads(
    on_ray, here, packages, project, new_project, tmp_path
):
    with here():
        on_ray(packages)
        require_measured(project)
        alone = new_project(tmp_path / "alone")
        backfill(alone.configure(**SECTIONS))
    assert project.lasting() == alone.lasting()


def test_a_cluster_without_a_package_is_told_with_what_to_do(on_ray, here, project):
    with here(), pytest.raises(ConfigurationError) as caught:
        on_ray()
    assert MISSING in str(caught.value)


@pytest.fixture
def on_a_pool(project, tmp_path):
    """Gives the job of the project to a worker, as a user does; returns exit code and words."""

    def run(*packages, command):
        path = os.pathsep.join([*map(str, packages), os.environ.get("PYTHONPATH", "")])
        quick = {**QUICK, "PYTHONPATH": path}
        project.configure(**SECTIONS)
        with (
            postgres(tmp_path) as database,
            prefect_service(tmp_path, database.url) as service,
            worker(tmp_path, service, pool="dotpipe", settings=quick),
        ):
            done = subprocess.run(
                [DOTPIPE, *command, project.file],
                env=service.variables | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )
        return done.returncode, done.stdout + done.stderr

    return run


def test_on_a_pool_they_give_what_they_give_in_threads(on_a_pool, packages, project):
    code, said = on_a_pool(packages, command=["backfill"])
    assert code == 0, said
    require_measured(project)


def test_a_worker_without_a_package_is_told_with_what_to_do(on_a_pool):
    code, said = on_a_pool(command=["backfill"])
    assert code == 1, said
    assert MISSING in " ".join(said.split())
