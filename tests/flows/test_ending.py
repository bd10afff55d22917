"""A process that is told to end does so in time, and leaves nothing half-done."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.io.claims import CLAIMS

BLOCK = """
import sys, time
from pathlib import Path

from flows import ending
from tasks.io.store import Store
from tasks.io.workspace import Workspace

ending.GRACE_S = 1.0
with ending.in_time(), Workspace(sys.argv[1]).claims.held("work") as ours:
    Path(sys.argv[1], "ready").touch()
    while True:
        try:
            time.sleep(60)
        except SystemExit:
            if sys.argv[2] == "heeds":
                raise
"""


def wait_for(path, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "it ended before it was told to"
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("manner", ["heeds", "does not heed"])
def test_a_process_that_is_terminated_ends_and_lets_its_claims_go(tmp_path, manner):
    process = subprocess.Popen([sys.executable, "-c", BLOCK, str(tmp_path), manner])
    wait_for(tmp_path / "ready", process)
    assert [*(tmp_path / CLAIMS).iterdir()]
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert [*(tmp_path / CLAIMS).iterdir()] == []


def test_a_terminated_run_ends_within_twenty_seconds_and_goes_on_to_the_same_bytes(
    project, shell, tmp_path, run_in_process, undisturbed
):
    dotpipe = Path(sys.executable).with_name("dotpipe")
    process = subprocess.Popen(
        [dotpipe, "run", project.file],
        env=shell(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(project.workspace / "ledger" / "datasets", process)
    start = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - start < 20
    assert process.returncode != 0, output
    assert "Traceback" not in output
    assert [*(project.workspace / CLAIMS).rglob("*.json")] == []
    project.vouch()
    assert run_in_process(project) == 0
    assert project.lasting() == undisturbed
