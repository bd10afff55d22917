"""What a command shows while it works: one server, one screen and one log, however it is nested."""

from contextlib import contextmanager

import pytest

from flows.cli import watching
from flows.cli.terminal import is_watched, working
from flows.cli.watching import watched
from flows.steps.screen import Silence, screen


class _Log:
    """A log of a run that keeps its lines."""

    address = "the log"

    def __init__(self):
        self.lines = []

    def write(self, line):
        self.lines.append(line)


@pytest.fixture
def log():
    return _Log()


@pytest.fixture
def begun(monkeypatch, log):
    """What was begun and ended, in order, with stand-ins for the server and the log."""
    events = []

    def stand_in(name, value):
        @contextmanager
        def opened(*_):
            events.append(f"{name} begins")
            try:
                yield value
            finally:
                events.append(f"{name} ends")

        return opened

    monkeypatch.setattr("flows.service.server.prefect_server", stand_in("server", "an address"))
    monkeypatch.setattr("flows.runs.run_log.run_log", stand_in("log", log))
    return events


def noting(events, name):
    return lambda _config, _terminal: events.append(name)


def test_a_block_within_another_shares_its_server_screen_and_log(begun):
    with watched(None, "enhance", first=noting(begun, "outer check")):
        outer = screen.get()
        with watched(None, "run", first=noting(begun, "inner check")):
            assert screen.get() is outer
            begun.append("work")
        assert screen.get() is outer
        with watched(None, "run"):
            begun.append("more work")
    expected = ["outer check", "log begins", "server begins", "work", "more work"]
    assert begun == [*expected, "server ends", "log ends"]
    assert isinstance(screen.get(), Silence)


def test_blocks_after_each_other_have_each_their_own(begun):
    for _ in range(2):
        assert not is_watched()
        with watched(None, "run"):
            assert is_watched()
    assert begun == ["log begins", "server begins", "server ends", "log ends"] * 2


def test_a_check_that_fails_begins_neither_log_nor_server(begun):
    def check(_config, _terminal):
        raise ValueError("the corpus is not there")

    with pytest.raises(ValueError, match="is not there"), watched(None, "run", first=check):
        begun.append("work")
    assert begun == []
    assert not is_watched()


def test_an_error_within_both_ends_everything_once(begun, log, capsys):
    def stopped():
        with watched(None, "enhance"), watched(None, "run"):
            screen.get().begin("fit", 9)
            screen.get().advance(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert begun == ["log begins", "server begins", "server ends", "log ends"]
    assert not is_watched()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stopped")]
    assert len(said) == 1
    assert said[0].startswith("stopped at fit: 3 of 9 images")
    assert [line for line in log.lines if line.startswith("stopped")] == said


def test_a_sign_of_life_has_no_place_beside_bars(begun):
    with watched(None, "run"), working("looking at what is done") as shown:
        assert shown is None


def test_a_command_that_ends_well_ends_as_any_other_after_one_that_was_stopped(begun, monkeypatch):
    monkeypatch.setattr(watching, "leave", lambda code: pytest.fail(f"left with {code}"))
    monkeypatch.setattr(watching, "_others_are_at_work", lambda: True)
    with pytest.raises(KeyboardInterrupt), watched(None, "run"):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), watching.stopping():
        raise SystemExit(0)
