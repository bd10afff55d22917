"""The unit of systemd: it runs a command that is there, and gives it time to end."""

import configparser
import re
import shlex
import shutil
import subprocess

import pytest
from container_definitions import INFRA
from typer.main import get_command

from flows.cli.commands import app
from flows.service import daemon

UNIT = INFRA / "systemd" / "dotpipe.service"


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(UNIT.read_text("utf-8"))
    return parser


def test_it_runs_a_command_that_exists_with_these_options(unit):
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert program == "%h/.local/bin/dotpipe"
    command = get_command(app)
    context = command.make_context("dotpipe", words[:1], resilient_parsing=True)
    name, verb, _ = command.resolve_command(context, words)
    assert name == "up"
    assert verb.make_context(name, words[1:]).params["wait"] is True


def test_it_waits_longer_than_stopping_may_take(unit):
    signals, daemons = 3, 2
    longest = signals * daemons * daemon._STOP_TIMEOUT_S
    assert int(unit["Service"]["TimeoutStopSec"]) > longest
    assert unit["Service"]["KillMode"] == "mixed"


def test_an_ended_command_is_not_started_again_and_a_failed_one_is(unit):
    assert unit["Service"]["Restart"] == "on-failure"
    assert int(unit["Service"]["RestartSec"]) > 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd reads its own units")
def test_systemd_takes_the_unit(tmp_path):
    text = UNIT.read_text("utf-8").replace("%h/.local/bin/dotpipe", shutil.which("true"))
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not re.search(rf"{UNIT.name}:\d+:|Unknown", done.stderr), done.stderr
