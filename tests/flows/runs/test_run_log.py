"""The log of a run: what is told and what libraries say, in the workspace, and not without end."""

import logging
import os
import sys
import warnings
from types import SimpleNamespace

import pytest

import flows.runs.run_log
from flows.runs.printed import Printed
from flows.runs.run_log import KEPT, run_log
from tasks.io.store import Store


def of(workspace):
    """A configuration, as far as a log asks for it."""
    return SimpleNamespace(name="mine", workspace=str(workspace))


def texts(workspace):
    store = Store(str(workspace))
    return [store.read(path).decode() for path in sorted(store.names("logs"))]


def test_it_has_what_the_terminal_is_told_and_what_libraries_say(tmp_path, capsys):
    noisy = logging.getLogger("huggingface_hub.file_download")
    shown = logging.StreamHandler()
    logging.getLogger("huggingface_hub").addHandler(shown)
    with run_log(of(tmp_path), "run") as log:
        log.write("shard natural: begins")
        noisy.warning("Retrying in 8s [Retry 5/5].")
        logging.getLogger("tasks").info("made shard-000000")
        sys.stdout.write("Setting up a network\n")
        sys.stderr.write("\r 10%\r 90%\r100%\n")
    logging.getLogger("huggingface_hub").removeHandler(shown)
    assert capsys.readouterr() == ("", "")
    (text,) = texts(tmp_path)
    for line in (
        "INFO dotpipe: shard natural: begins",
        "INFO tasks: made shard-000000",
        "WARNING huggingface_hub.file_download: Retrying in 8s [Retry 5/5].",
        "INFO dotpipe.printed: Setting up a network",
        "INFO dotpipe.printed: 100%",
    ):
        assert line in text
    assert "10%" not in text.replace("100%", "")


def test_warnings_go_there_and_nowhere_else(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with run_log(of(tmp_path), "run"):
            warnings.warn("an option is unused", stacklevel=1)
    assert "an option is unused" in texts(tmp_path)[0]
    assert capsys.readouterr().err == ""


def test_its_name_tells_when_what_and_by_which_process(tmp_path):
    with run_log(of(tmp_path), "enhance") as log:
        pass
    (path,) = (tmp_path / "logs" / "mine").iterdir()
    assert str(path) == log.address
    moment, verb, process = path.stem.rsplit("-", 2)
    assert len(moment) == len("2026-11-28T21-07-13")
    assert (verb, process) == ("enhance", str(os.getpid()))


def test_a_run_that_fails_leaves_the_traceback_there(tmp_path):
    with pytest.raises(ZeroDivisionError), run_log(of(tmp_path), "run"):
        _ = 1 / 0
    (text,) = texts(tmp_path)
    assert "the run has failed" in text
    assert "ZeroDivisionError: division by zero" in text


def test_the_oldest_are_removed(tmp_path):
    folder = tmp_path / "logs" / "mine"
    folder.mkdir(parents=True)
    for number in range(KEPT + 3):
        (folder / f"2026-01-01T00-00-{number:02d}-run-1.log").touch()
    (tmp_path / "logs" / "another").mkdir()
    (tmp_path / "logs" / "another" / "2026-01-01T00-00-00-run-1.log").touch()
    with run_log(of(tmp_path), "run") as log:
        pass
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == KEPT
    assert left[0] == "2026-01-01T00-00-04-run-1.log"
    assert log.address.endswith(left[-1])
    assert len([*(tmp_path / "logs" / "another").iterdir()]) == 1


def test_where_nothing_can_be_written_there_is_none(tmp_path):
    (tmp_path / "logs").write_text("a file in its place")
    with run_log(of(tmp_path), "run") as log:
        assert log is None


def test_into_a_bucket_it_is_written_now_and_then_and_at_the_end(bucket, monkeypatch):
    monkeypatch.setattr(flows.runs.run_log, "PERIOD_S", 0.05)
    with run_log(of(bucket.url), "run") as log:
        log.write("the first line")
        while not texts(bucket.url) or "the first line" not in texts(bucket.url)[0]:
            pass
        log.write("the last line")
    assert log.address.startswith(f"{bucket.url}/logs/mine/")
    assert texts(bucket.url)[0].rstrip().endswith("the last line")


def test_what_a_failing_handler_prints_does_not_come_back(capsys):
    class Failing(logging.Handler):
        def emit(self, record):
            stream.write("--- Logging error ---\n")

    logger = logging.Logger("alone")
    logger.addHandler(Failing())
    stream = Printed(logger)
    assert stream.write("a line\nand a rest") == 17
    assert stream.writable()
    assert stream.encoding == "utf-8"
