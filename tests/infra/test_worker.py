"""The worker of the containers: on SIGTERM its flow runs end first, and it after them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAND_IN = """
import os, pathlib, signal, subprocess, sys, time

log = pathlib.Path(os.environ["LOG"])

def note(text):
    with log.open("a") as stream:
        stream.write(text + "\\n")

def run():
    def end(*_):
        note("run is told")
        time.sleep(0.5)  # the shard in hand
        note("run has ended")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    note("run")
    time.sleep(60)

def work():
    command = [sys.executable, "-m", "prefect", "run"]
    child = subprocess.Popen(command, start_new_session=True)
    def end(*_):
        child.kill()  # as Prefect's worker does
        note("worker has ended")
        sys.exit(7)
    signal.signal(signal.SIGTERM, end)
    note("worker " + " ".join(sys.argv[1:]))
    while True:
        time.sleep(0.05)

run() if sys.argv[1:] == ["run"] else work()
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def started(tmp_path, log):
    """The module, with a package in the place of Prefect that notes what happens to it."""
    (tmp_path / "prefect").mkdir()
    (tmp_path / "prefect" / "__init__.py").touch()
    (tmp_path / "prefect" / "__main__.py").write_text(STAND_IN)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.worker", "--pool", "dotpipe"],
        env={**os.environ, "PYTHONPATH": path, "LOG": str(log)},
        start_new_session=True,
    )
    wait_for(lambda: log.exists() and "run" in log.read_text().splitlines())
    yield process
    process.kill()
    process.wait()


def wait_for(is_so):
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_flow_runs_end_before_the_worker_and_are_not_killed(started, log):
    started.send_signal(signal.SIGTERM)
    assert started.wait(20) == 7
    assert log.read_text().splitlines() == [
        "worker worker start --type process --pool dotpipe",
        "run",
        "run is told",
        "run has ended",
        "worker has ended",
    ]


def test_to_be_told_twice_makes_no_difference(started, log):
    started.send_signal(signal.SIGTERM)
    wait_for(lambda: "run is told" in log.read_text())
    started.send_signal(signal.SIGTERM)
    assert started.wait(20) == 7
    assert log.read_text().count("run has ended") == 1
