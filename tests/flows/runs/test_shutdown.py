"""A process that is told to end does so in time, and leaves nothing half-done."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled

from tasks.io.ledger.claims import CLAIMS
from tasks.io.workspace import Workspace

BLOCK = """
import sys, time
from pathlib import Path

from flows.runs import shutdown
from tasks.io.store.store import Store
from tasks.io.workspace.workspace import Workspace

shutdown.GRACE_S = 1.0
with shutdown.graceful_shutdown(), Workspace(sys.argv[1]).claims.held("work") as ours:
    Path(sys.argv[1], "ready").touch()
    while True:
        try:
            time.sleep(60)
        except SystemExit:
            if sys.argv[2] == "heeds":
                raise
"""

IMPATIENT = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor

import torch

from flows.cli import watching
from flows.runs import shutdown

def work():
    a = torch.rand(400, 400)
    while True:
        a = a @ a
        a = a / a.norm()

try:
    with watching.stopping():
        try:
            with ThreadPoolExecutor(2) as pool:
                pool.submit(work), pool.submit(work)
                time.sleep(0.3)
                print("at work", flush=True)
                time.sleep(60)
        except BaseException as stop:  # a second signal, while the first waits for the threads
            watching._stopped.append(stop)
            sys.exit(130)
finally:
    print("not reached", flush=True)
"""

EARLY = """
import time
from flows.cli.watching import stopping

with stopping():
    print("imports", flush=True)
    time.sleep(60)
"""

RUNS = """
import sys, time
from pathlib import Path

from prefect import flow

from flows.runs import shutdown
from flows.runs.presence import at_work
from tasks.config import load_config

shutdown.GRACE_S = 1.0

def ignore(config):
    Path(config.workspace, "ready").touch()
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

inner = flow(name="inner-ignores")(at_work(ignore))

@flow(name="outer-ignores")
@at_work
def outer(config):
    inner(config)

outer(load_config(Path(sys.argv[1])))
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


def test_who_presses_ctrl_c_again_sees_no_abort_of_threads_that_compute():
    command = [sys.executable, "-c", IMPATIENT]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, complaints = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert complaints == ""  # such as: terminate called without an active exception


def test_a_command_that_is_told_to_end_before_its_work_says_so():
    command = [sys.executable, "-c", EARLY]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams) as process:
        assert process.stdout.readline() == "imports\n"
        process.terminate()
        _, complaints = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert complaints == "stopped; what is done is kept, run again to go on\n"


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
    wait_for(project.workspace / "ledger" / "datasets", process, 180)
    start = time.monotonic()
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - start < 20
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output
    assert re.search(r"shard \w+: begins", output), output  # though there is no terminal
    assert re.search(r"stopped( at .*)?; what is done is kept, run again to go on", output)
    (log,) = (project.workspace / "logs" / "tiny").iterdir()
    assert "what is done is kept, run again to go on" in log.read_text("utf-8")
    assert [*(project.workspace / CLAIMS).rglob("*.json")] == []
    project.vouch()
    assert run_in_process(project) == 0
    assert project.lasting() == undisturbed


@pytest.mark.parametrize("behaviour", ["crash", "reschedule"])
def test_runs_that_are_cut_off_say_so_to_the_server_unless_prefect_plans_them_again(
    project, server, behaviour
):
    config = project.configure()
    known = {
        **os.environ,
        "PREFECT_API_URL": f"{server}/api",
        "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": behaviour,
    }
    command = [sys.executable, "-c", RUNS, str(project.file)]
    with subprocess.Popen(command, env=known) as process, get_client(sync_client=True) as client:
        wait_for(project.workspace / "ready", process)
        under_way = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
        named = FlowFilter(name=FlowFilterName(any_=["inner-ignores", "outer-ignores"]))
        runs = client.read_flow_runs(
            flow_filter=named, flow_run_filter=FlowRunFilter(state=under_way)
        )
        process.terminate()
        assert len(runs) == 2
        assert process.wait(20) == 128 + signal.SIGTERM
        for run in runs:
            state = client.read_flow_run(run.id).state
            if behaviour == "reschedule":  # by `prefect flow-run execute`, which is not here
                assert state.is_running()
                client.set_flow_run_state(run.id, Cancelled(), force=True)
            else:
                assert state.is_crashed()
                assert state.message == "it was told to end, and did not in time"
    assert Workspace(config.workspace).claims.names() == []
