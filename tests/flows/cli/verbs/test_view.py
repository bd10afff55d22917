"""`dotpipe view`: an address of this machine that answers, until it is told to end."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest
import typer
import yaml

from flows.cli.verbs import view as module
from flows.cli.verbs.reports import REMOTE
from flows.view.server import listening
from tasks.io.errors import ConfigurationError
from tasks.view.viewed import Viewed


@pytest.fixture
def config(finished, tmp_path):
    """The file of the finished run's configuration."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(finished.config.model_dump(mode="json")), "utf-8")
    return path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_on_the_printed_address_and_ends_when_told(config, repository, number):
    command = [sys.executable, str(repository / "dotpipe.py"), "view", str(config), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        try:
            word, address = it.stdout.readline().split()
            assert word == "view:"
            assert httpx.get(f"{address}facts", trust_env=False).json()["images"] == 8
            assert httpx.get(address.replace("127.0.0.1", "localhost"), trust_env=False)
            wrong = address.replace(address.rstrip("/").rpartition("/")[2], "guess")
            assert httpx.get(wrong, trust_env=False).status_code == 404
            port = int(address.split(":")[2].partition("/")[0])
            with pytest.raises(OSError, match="refused"):  # of the machine's other addresses
                socket.create_connection(("127.0.0.2", port), timeout=5)
            it.send_signal(number)
            _, errors = it.communicate(timeout=30)
        finally:
            it.kill()
    assert "Traceback" not in errors
    assert it.returncode == (0 if number == signal.SIGINT else 128 + number)


@pytest.fixture
def shown(monkeypatch, finished):
    """Runs the command with a stand-in for the server; gives what was launched."""
    launched = []
    monkeypatch.setattr(typer, "launch", launched.append)
    monkeypatch.setattr(module, "parsed", lambda _: finished.config)
    root = "http://127.0.0.1"
    monkeypatch.setattr(
        "flows.view.server.serve",
        lambda _viewed, port, tell: tell(f"{root}:{port}/t/", f"{root}:{port}/once"),
    )
    for name in REMOTE:
        monkeypatch.delenv(name, raising=False)
    return launched


def test_a_browser_is_opened_unless_it_is_not_wanted(shown, dotpipe):
    assert dotpipe("view", "run.yaml", "--port", "8000")[0] == 0
    assert shown == ["http://127.0.0.1:8000/once"]  # others see it in the list of processes
    assert dotpipe("view", "run.yaml", "--no-browser")[0] == 0
    assert len(shown) == 1


def test_over_ssh_the_tunnel_is_told_and_nothing_is_opened(shown, dotpipe, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    _, told, _ = dotpipe("view", "run.yaml", "--port", "8000")
    assert "`ssh -L 8000:127.0.0.1:8000 …`" in told
    assert shown == []


def test_shards_that_are_not_finished_are_told(shown, dotpipe, monkeypatch, finished):
    whole = Viewed.of(finished.config)
    part = Viewed(whole.run, whole.versions, whole.shards, 3)
    monkeypatch.setattr(Viewed, "of", lambda _: part)
    assert "3 shards are not finished, and are not shown" in dotpipe("view", "run.yaml")[1]


def test_a_port_that_is_taken_is_told():
    with listening(0) as first:
        port = first.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"
        with pytest.raises(
            ConfigurationError, match=f"--port must be one that is free, got {port}"
        ):
            listening(port)
