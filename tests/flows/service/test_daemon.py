"""A daemon: known by the lock that it holds, ended with all that it has begun."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from flows.service import service
from flows.service.daemon import Daemon
from tasks.io.errors import DotpipeError

# The process that begins a daemon ends, but in these tests.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def wait_for(happens, patience_s=30):
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A daemon of a folder of its own."""
    monkeypatch.setattr("flows.service.daemon._folder", lambda: tmp_path)
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


def test_a_daemon_is_alive_until_it_is_stopped_and_keeps_its_details(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, 'echo "$NAME begins: $*"; exec sleep 60')
    (tmp_path / "server.lock").write_text('[1, "a former one"]')
    daemon.start("prefect", "start", details=("a b", "c"), environment={"NAME": "ant"})
    wait_for(daemon.end_of_log)
    assert daemon.is_alive()
    assert daemon.details() == ["a b", "c"]
    assert daemon.stop()
    assert not daemon.is_alive()
    assert daemon.end_of_log() == "ant begins: -m prefect start\n"


def test_whether_a_daemon_was_stopped_or_has_ended_by_itself_is_known(
    daemon, tmp_path, monkeypatch
):
    program(tmp_path, monkeypatch, "exec sleep 60")
    daemon.start(details=("first",), environment={})
    assert not daemon.was_stopped()
    daemon.stop()
    assert daemon.was_stopped()
    program(tmp_path, monkeypatch, "exit 1")
    daemon.start(details=("second",), environment={})
    wait_for(lambda: not daemon.is_alive())
    assert not daemon.was_stopped()


def test_a_daemon_that_is_alive_is_not_begun_again(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "exec sleep 60")
    daemon.start(details=("first",), environment={})
    daemon.start(details=("second",), environment={})
    assert daemon.details() == ["first"]
    assert daemon.stop()


def test_a_daemon_that_does_not_heed_is_killed_with_its_children(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("flows.service.daemon._STOP_TIMEOUT_S", 0.5)
    child = tmp_path / "child"
    program(tmp_path, monkeypatch, f"trap '' TERM; sleep 61 & echo $! > {child}; wait; sleep 60")
    daemon.start(details=(), environment={})
    wait_for(lambda: child.exists() and child.read_text().strip())
    assert daemon.stop()
    assert not daemon.is_alive()
    wait_for(lambda: not psutil.pid_exists(int(child.read_text())))


def test_what_a_daemon_has_begun_is_ended_though_the_daemon_was_killed(
    daemon, tmp_path, monkeypatch
):
    child = tmp_path / "child"
    program(tmp_path, monkeypatch, f"sleep 61 & echo $$ $! > {child}; wait")
    daemon.start(details=(), environment={})
    wait_for(lambda: child.exists() and child.read_text().strip())
    first, second = map(int, child.read_text().split())
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert daemon.is_alive()
    assert daemon.stop()
    wait_for(lambda: not psutil.pid_exists(second))


def test_a_daemon_that_ends_at_once_is_told_with_the_end_of_its_log(daemon, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "echo the database is locked; exit 3")
    daemon.start(details=("x",), environment={})
    with pytest.raises(DotpipeError, match=r"the server must be ready .*the database is locked"):
        service._wait(daemon, lambda: False)


def test_of_a_long_log_the_end_is_shown(daemon, tmp_path):
    daemon.log.write_bytes(b"x" * 100_000 + "é".encode() * 5000)
    assert daemon.end_of_log() == "x" * 10_000 + "é" * 5000
