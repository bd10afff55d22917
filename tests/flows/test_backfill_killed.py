"""A run that is killed and started again ends as if nothing had happened."""

import signal
import subprocess
import sys
import tarfile

import pytest

NURSERY = """
import importlib, os, signal, sys
from pathlib import Path

import diffusers, matplotlib.pyplot, skimage.restoration
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.backfill import backfill
from tasks.config import load_config


def kill_at(place, count):
    module, _, path = place.partition(":")
    owner, _, name = path.rpartition(".")
    owner = getattr(importlib.import_module(module), owner)
    real = getattr(owner, name)
    calls = iter(range(1, count))

    def deadly(*args):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    setattr(owner, name, deadly)


def run(server, config, place, count):
    if place != "nowhere":
        kill_at(place, int(count))
    api = {PREFECT_API_URL: f"{server}/api", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
    with temporary_settings(api):
        backfill(load_config(Path(config)))


for line in sys.stdin:
    if (child := os.fork()) == 0:
        run(*line.rstrip().split("|"))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports once, then runs the job in a child process for every line, as a user's process would."""


@pytest.fixture(scope="module")
def run_in_process(server):
    """Runs a project's job in a process of its own, which may be killed; returns its exit code."""
    command = [sys.executable, "-c", NURSERY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as nursery:

        def run(project, place="nowhere", count=0):
            nursery.stdin.write(f"{server}|{project.file}|{place}|{count}\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        yield run


@pytest.mark.parametrize(
    ("place", "count"),
    [
        pytest.param("tasks.io.shards:TarWriter.add", 3, id="sharding, inside the first tar"),
        pytest.param("tasks.outputs:Outputs.close", 2, id="enhancing, inside the second shard"),
        pytest.param("tasks.io.store:Store.put", 60, id="enhancing, between a tar and its record"),
    ],
)
def test_a_killed_run_started_again_gives_the_same_bytes(
    project, run_in_process, undisturbed, place, count
):
    assert run_in_process(project, place, count) == -signal.SIGKILL
    assert project.partial()
    project.vouch()
    assert run_in_process(project) == 0
    assert project.partial() == []
    assert project.lasting() == undisturbed


def test_no_record_outlives_its_files_when_the_change_of_a_tar_is_cut_short(
    finished, run_in_process
):
    finished.configure(enhance={"alphas": [0], "format": "png"})
    assert run_in_process(finished, "tasks.io.store:Store.put", 2) == -signal.SIGKILL
    finished.vouch()
    (tar,) = finished.workspace.glob("enhanced/*/*/alpha=+0.00/shard-000000.tar")
    with tarfile.open(tar) as archive:
        assert all(name.endswith(".png") for name in archive.getnames())
    artifacts = [record.artifact for record in finished.records()]
    assert not [name for name in artifacts if name.endswith("alpha=+0.00/shard-000000")]
