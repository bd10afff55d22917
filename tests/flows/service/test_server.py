"""The server of a run: another's if there is one, else our own, which never outlives us."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import flows.service.server
from flows.service.server import Server, prefect_server
from tasks.io.errors import DotpipeError

DOTPIPE = Path(sys.executable).with_name("dotpipe")


def processes_with(home):
    """Command lines of the processes that use this home of Prefect."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT_HOME") == str(home):
                found.append(process.cmdline())
        except psutil.Error:
            continue
    return found


def wait_until(claim, patience_s):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and not claim():
        time.sleep(0.05)
    return claim()


def test_where_prefect_names_a_server_none_is_started(server, monkeypatch):
    monkeypatch.setattr(flows.service.server, "Server", lambda: pytest.fail("started a server"))
    with prefect_server() as address:
        assert address == server


def test_a_server_that_does_not_come_up_says_why_and_leaves_no_log(tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho the database is locked\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started = Server()
    with pytest.raises(DotpipeError, match=r"the database is locked.*set PREFECT_API_URL"):
        started.wait()
    started.stop()
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends children")
def test_a_server_ends_with_a_process_that_is_killed(tmp_path, shell):
    code = "import os, flows.service.server; flows.service.server.Server(); os.kill(os.getpid(), 9)"
    known = shell(tmp_path) | {"TMPDIR": str(tmp_path)}  # the server's log outlives the process
    killed = subprocess.run([sys.executable, "-c", code], env=known, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert wait_until(lambda: processes_with(tmp_path) == [], 10)


def told_by_a_run_that_fails(project, env):
    """The lines of standard error of ``dotpipe run``, which exits with 1 and prints no result."""
    done = subprocess.run(
        [DOTPIPE, "run", project.file], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_a_mistake_found_in_a_flow_is_one_sentence_and_the_server_is_gone(project, tmp_path, shell):
    (project.folder / "natural" / "0.png").write_bytes(b"no image")
    project.configure(shards={"max_bad_fraction": 0.0})
    told = told_by_a_run_that_fails(project, shell(tmp_path / "home"))
    assert processes_with(tmp_path / "home") == []
    checking, note, starting, log, dashboard, *steps, error = told
    assert (checking, starting) == ("checking", "starting Prefect")
    assert note.startswith("note: images of natural must be accepted, but 1 of 4 that were opened")
    assert log.startswith(f"log: {project.workspace}/logs/tiny/")
    assert "dashboard while this runs: http://127.0.0.1:" in dashboard
    assert any(
        re.search("shard reference: ended .* 3 of 3 shards made, 8 im", line) for line in steps
    )
    assert error.startswith(
        "error: at most 0.0% of natural may be refused, got 1 of 4 (1 × no image"
    )


def test_a_mistake_that_is_found_before_is_one_sentence_and_nothing_is_begun(
    project, tmp_path, shell
):
    for image in (project.folder / "natural").iterdir():
        image.unlink()
    told = told_by_a_run_that_fails(project, shell(tmp_path / "home"))
    assert not project.workspace.exists()
    assert told == [
        "checking",
        f"error: natural must hold at least one image, got none below "
        f"'{project.folder / 'natural'}' with the endings avif, bmp, dib, heic, heif, hif, "
        "jfif, jpe, jpeg, jpg, jxl, png, tif, tiff, webp; check the path (tars are named with "
        "braces, as …/{000000..000123}.tar)",
    ]


def test_ctrl_c_ends_a_run_soon_and_leaves_neither_a_server_nor_partial_files(tmp_path, shell):
    home, made = tmp_path / "home", tmp_path / "demo" / "workspace"
    with (tmp_path / "err").open("wb") as err:
        running = subprocess.Popen(
            [DOTPIPE, "demo", tmp_path / "demo"],
            env=shell(home),
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
        )
    with running:
        try:
            assert wait_until(lambda: [*made.glob("ledger/datasets/natural/index*")], 180)
            assert wait_until(lambda: [*made.glob(".partial/*")], 30)
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does
            assert running.wait(20) == 130
        finally:
            running.kill()
    assert processes_with(home) == []
    assert [*made.glob(".partial/*")] == []
    assert "Traceback" not in (tmp_path / "err").read_text("utf-8")
