"""The service of one machine: `up` starts what is missing, `down` leaves nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
from servers.child_processes import free_port, kill, with_variable

pytestmark = [pytest.mark.slow, pytest.mark.service]

DOTPIPE = Path(sys.executable).with_name("dotpipe")


class Machine(NamedTuple):
    """A user's machine: the environment, and the port of the server."""

    home: Path
    port: int
    environment: dict[str, str]

    def dotpipe(self, *words, **variables):
        return subprocess.run(
            [DOTPIPE, *map(str, words)],
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def api(self):
        return f"http://127.0.0.1:{self.port}/api"

    def pid(self, name):
        """The number of the process that was noted."""
        return json.loads((self.home / "dotpipe" / f"{name}.lock").read_text())[0]

    def workers(self, pool="dotpipe"):
        found = httpx.post(f"{self.api}/work_pools/{pool}/workers/filter", json={})
        return found.raise_for_status().json()

    def runs(self, name):
        """The flow runs of a name."""
        asked = {"flow_runs": {"name": {"any_": [name]}}}
        return httpx.post(f"{self.api}/flow_runs/filter", json=asked).raise_for_status().json()


@pytest.fixture(scope="module")
def machine(tmp_path_factory, shell):
    home = tmp_path_factory.mktemp("home")
    yield Machine(home, free_port(), shell(home))
    kill(with_variable("PREFECT_HOME", str(home)))


@pytest.fixture(scope="module")
def service(machine):
    """The machine after `dotpipe up`; one for all tests here, which leave it so."""
    done = machine.dotpipe("up", "--port", machine.port)
    assert done.returncode == 0, done.stderr
    return machine, done.stdout


def test_up_starts_a_server_and_a_worker_and_says_where_they_are(service):
    machine, said = service
    dashboard, server, worker, _ = said.splitlines()
    assert dashboard == f"dashboard: http://127.0.0.1:{machine.port}"
    assert server.startswith("server: its log is ")
    assert worker.startswith("worker of the pool 'dotpipe': its log is ")
    for line in (server, worker):
        assert Path(line.rpartition(" ")[2]).is_relative_to(machine.home)
    assert httpx.get(f"{machine.api}/health").is_success
    (worker,) = machine.workers()
    assert worker["status"] == "ONLINE"
    assert worker["name"].startswith(f"{socket.gethostname()}-")
    for name in ("server", "worker"):
        assert os.getpgid(machine.pid(name)) == machine.pid(name)


def test_a_second_up_starts_nothing_and_registers_what_it_is_given(service, new_project, tmp_path):
    machine, said = service
    before = [machine.pid("server"), machine.pid("worker")]
    project = new_project(tmp_path / "project")
    done = machine.dotpipe("up", project.file, "--port", machine.port)
    assert (done.returncode, done.stdout) == (0, said)
    assert [machine.pid("server"), machine.pid("worker")] == before
    found = httpx.get(f"{machine.api}/deployments/name/backfill-in-blocks/tiny").json()
    assert found["work_queue_name"] == "conductors"


def test_without_prefects_variables_other_commands_use_that_server(service, new_project, tmp_path):
    machine, _ = service
    project = new_project(tmp_path / "project")
    project.configure(name="by-itself")
    done = machine.dotpipe("shard", project.file)
    assert done.returncode == 0, done.stderr
    assert f"dashboard while this runs: http://127.0.0.1:{machine.port}" in done.stderr
    (run,) = machine.runs("shard by-itself")
    assert run["state_name"] == "Completed"


def test_up_for_another_pool_says_that_the_worker_has_one(service):
    machine, _ = service
    done = machine.dotpipe("up", "--pool", "other", "--port", machine.port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: the worker of this machine must be of the pool 'other' of "
        f"http://127.0.0.1:{machine.port}, got 'dotpipe' of http://127.0.0.1:{machine.port}; "
        "`dotpipe down` stops that one"
    )
    assert psutil.pid_exists(machine.pid("worker"))


def test_a_worker_that_was_killed_is_started_again_by_up(service):
    machine, _ = service
    server, worker = machine.pid("server"), machine.pid("worker")
    first = psutil.Process(worker)
    kill([first, *first.children(recursive=True)])
    done = machine.dotpipe("up", "--port", machine.port)
    assert done.returncode == 0, done.stderr
    assert machine.pid("server") == server
    assert machine.pid("worker") != worker
    names = {one["name"] for one in machine.workers()}
    assert len(names) == 2
    assert json.loads((machine.home / "dotpipe" / "worker.lock").read_text())[1] in names


def test_down_ends_all_of_it_and_up_frees_the_places_of_runs_that_were_under_way(
    service, new_project, tmp_path
):
    machine, _ = service
    project = new_project(tmp_path / "project")
    project.configure(name="interrupted")
    hold_its_work_up(project)
    claims = partial(project.workspace.glob, "claims/runs/interrupted-*")
    following = subprocess.Popen(
        [DOTPIPE, "submit", project.file],
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with following:
        wait_for(lambda: [*claims()])
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
    assert machine.runs("backfill interrupted")[0]["state_name"] == "Running"
    done = machine.dotpipe("down")
    assert (done.returncode, done.stdout) == (0, "stopped the worker\nstopped the server\n")
    assert with_variable("PREFECT_HOME", str(machine.home)) == []
    assert [*claims()] == []
    again = machine.dotpipe("down")
    assert (again.returncode, again.stdout) == (0, "nothing was running\n")
    assert machine.dotpipe("up", "--port", machine.port).returncode == 0
    assert machine.runs("backfill interrupted")[0]["state_name"] == "Crashed"


def test_up_that_stays_starts_again_what_ends_and_stops_all_when_it_is_told_to_end(tmp_path, shell):
    machine = Machine(tmp_path, free_port(), shell(tmp_path))
    staying = subprocess.Popen(
        [DOTPIPE, "up", "--stay", "--port", str(machine.port)],
        env=machine.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = [staying.stdout.readline() for _ in range(4)]
        assert said[0] == f"dashboard: http://127.0.0.1:{machine.port}\n"
        server, worker = machine.pid("server"), machine.pid("worker")
        first = psutil.Process(worker)
        kill([first, *first.children(recursive=True)])
        assert "the worker has ended and is started again" in staying.stderr.readline()
        wait_for(lambda: len(machine.workers()) == 2)
        wait_for(lambda: machine.pid("worker") != worker)
        assert machine.pid("server") == server
        staying.send_signal(signal.SIGTERM)
        out, _ = staying.communicate(timeout=60)
        assert (staying.returncode, out) == (0, "stopped the worker\nstopped the server\n")
    finally:
        staying.kill()
        kill(with_variable("PREFECT_HOME", str(machine.home)))


def hold_its_work_up(project):
    """Claim a shard of the project, so that a run waits for it."""
    claim = project.workspace / "claims" / "datasets" / "natural" / "shard-000000.json"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"place": "elsewhere", "process": 1, "owner": "x", "beat": 1}))


def wait_for(happens, patience_s=90):
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)
