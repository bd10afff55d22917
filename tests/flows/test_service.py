"""The service of one machine: `up` starts what is missing, `down` leaves nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest
from children import free_port, kill, told

from flows import service as service_module
from flows.daemon import Daemon

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


@pytest.fixture(scope="module")
def machine(tmp_path_factory, shell):
    home = tmp_path_factory.mktemp("home")
    yield Machine(home, free_port(), shell(home))
    kill(told("PREFECT_HOME", str(home)))


@pytest.fixture(scope="module")
def service(machine):
    """The machine after `dotpipe up`; one for all tests here, which leave it so."""
    done = machine.dotpipe("up", "--port", machine.port)
    assert done.returncode == 0, done.stderr
    return machine, done.stdout


def test_up_starts_a_server_and_a_worker_and_says_where_they_are(service):
    machine, said = service
    dashboard, worker, _ = said.splitlines()
    assert dashboard == f"dashboard: http://127.0.0.1:{machine.port}"
    assert worker.startswith("worker of the pool 'dotpipe': its log is ")
    assert Path(worker.rpartition(" ")[2]).is_relative_to(machine.home)
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
    done = machine.dotpipe("run", project.file)
    assert done.returncode == 0, done.stderr
    assert f"dashboard while this runs: http://127.0.0.1:{machine.port}" in done.stderr
    asked = {"flow_runs": {"name": {"any_": ["backfill by-itself"]}}}
    (run,) = httpx.post(f"{machine.api}/flow_runs/filter", json=asked).json()
    assert run["state_name"] == "Completed"


def test_a_run_is_submitted_and_followed_to_its_end(service, new_project, tmp_path):
    machine, _ = service
    project = new_project(tmp_path / "project")
    project.configure(name="submitted")
    done = machine.dotpipe("submit", project.file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"dashboard: http://127.0.0.1:\d+/runs/flow-run/[0-9a-f-]{36}", done.stderr)
    assert "alpha 0.5" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("report: ")
    project.vouch()


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
    os.kill(worker, signal.SIGKILL)
    done = machine.dotpipe("up", "--port", machine.port)
    assert done.returncode == 0, done.stderr
    assert machine.pid("server") == server
    assert machine.pid("worker") != worker
    names = {one["name"] for one in machine.workers()}
    assert len(names) == 2
    assert json.loads((machine.home / "dotpipe" / "worker.lock").read_text())[1] in names


def test_down_ends_all_of_it_also_a_run_that_is_under_way(service, new_project, tmp_path):
    machine, _ = service
    project = new_project(tmp_path / "project")
    project.configure(name="interrupted")
    claim = hold_its_work_up(project)
    following = subprocess.Popen(
        [DOTPIPE, "submit", project.file],
        env=machine.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with following:
        wait_for(lambda: [*project.workspace.glob("claims/runs/interrupted-*")])
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
    begun = time.monotonic()
    done = machine.dotpipe("down")
    print("DOWN TOOK", time.monotonic() - begun, (machine.home / "dotpipe" / "worker.log").read_text())
    import sqlite3
    print(sqlite3.connect(machine.home / "prefect.db").execute("select name, state_type, state_name from flow_run").fetchall())
    assert (done.returncode, done.stdout) == (0, "stopped the worker\nstopped the server\n")
    assert told("PREFECT_HOME", str(machine.home)) == []
    assert [*project.workspace.glob("claims/runs/*")] == []
    claim.unlink()
    again = machine.dotpipe("down")
    assert (again.returncode, again.stdout) == (0, "nothing was running\n")


def hold_its_work_up(project):
    """Claim a shard of the project, so that a run waits for it."""
    claim = project.workspace / "claims" / "datasets" / "natural" / "shard-000000.json"
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"place": "elsewhere", "process": 1, "owner": "x", "beat": 1}))
    return claim


def wait_for(happens, patience_s=90):
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)


def test_without_a_server_commands_for_workers_say_what_starts_one(machine, new_project, tmp_path):
    project = new_project(tmp_path / "project")
    for verb in ("deploy", "submit", "backfill"):
        done = machine.dotpipe(verb, project.file, PREFECT_HOME=str(tmp_path / "home"))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "error: a Prefect server must be there, but none is; start one with a worker by "
            "`dotpipe up`, or set PREFECT_API_URL to that of your cluster\n"
        )


def test_a_server_that_does_not_answer_is_one_sentence(machine, new_project, tmp_path):
    project = new_project(tmp_path / "project")
    away = f"http://127.0.0.1:{free_port()}/api"
    done = machine.dotpipe("submit", project.file, PREFECT_API_URL=away)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: the Prefect server at PREFECT_API_URL={away} must answer, but does not; start it, "
        "or unset the variable (or the setting of the Prefect profile) for one of dotpipe's own\n"
    )


def test_a_port_in_use_is_one_sentence_and_nothing_is_started(machine, tmp_path):
    home = tmp_path / "home"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = machine.dotpipe("up", "--port", port, PREFECT_HOME=str(home))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"error: port {port} of this machine must be free for a Prefect server, got 'Address "
        "already in use'; name another by --port, or set PREFECT_API_URL="
        f"http://127.0.0.1:{port}/api to use a Prefect server that is there"
    )
    assert told("PREFECT_HOME", str(home)) == []


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A daemon of a folder of its own."""
    monkeypatch.setattr("flows.daemon._folder", lambda: tmp_path)
    return Daemon("server")


def program(tmp_path, monkeypatch, text):
    """What is begun in place of Python."""
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def test_a_daemon_that_was_never_begun_is_not_alive(daemon):
    assert not daemon.is_alive()
    assert not daemon.stop()


def test_the_number_of_a_process_that_is_gone_is_not_taken_for_it(daemon, tmp_path):
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with bystander:
        (tmp_path / "server.lock").write_text(f'[{bystander.pid}, "http://127.0.0.1:4200"]')
        assert not daemon.is_alive()
        assert not daemon.stop()
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_is_alive_until_it_is_stopped_and_keeps_notes(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, 'echo "$NAME begins: $*"; exec sleep 60')
    (tmp_path / "server.lock").write_text('[1, "a former one"]')
    daemon.start("server", "start", notes=("a b", "c"), environment={"NAME": "ant"})
    assert daemon.is_alive()
    assert daemon.notes() == ["a b", "c"]
    assert daemon.stop()
    assert not daemon.is_alive()
    assert daemon.last_words() == "ant begins: -m prefect server start\n"


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_that_is_alive_is_not_begun_again(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "exec sleep 60")
    daemon.start(notes=("first",), environment={})
    daemon.start(notes=("second",), environment={})
    assert daemon.notes() == ["first"]
    assert daemon.stop()


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_that_does_not_heed_is_killed_with_its_children(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("flows.daemon._GOODBYE_S", 0.5)
    child = tmp_path / "child"
    program(tmp_path, monkeypatch, f"trap '' TERM; sleep 61 & echo $! > {child}; wait; sleep 60")
    daemon.start(notes=(), environment={})
    wait_for(lambda: child.exists() and child.read_text().strip())
    assert daemon.stop()
    assert not daemon.is_alive()
    wait_for(lambda: not psutil.pid_exists(int(child.read_text())))


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_that_ends_at_once_is_told_with_its_last_words(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "echo the database is locked; exit 3")
    daemon.start(notes=("x",), environment={})
    with pytest.raises(Exception, match=r"the server must be ready .*the database is locked"):
        service_module._wait(daemon, lambda: False)


def test_the_last_words_are_the_end_of_a_long_log(daemon, tmp_path):
    daemon.log.write_bytes(b"x" * 100_000 + "é".encode() * 500)
    assert daemon.last_words() == "x" * 1000 + "é" * 500
