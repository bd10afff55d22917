"""The folder of Prefect's database: what is wrong with it is told before a server is started."""

import os
import resource
from contextlib import contextmanager

import pytest
from prefect.settings import (
    PREFECT_HOME,
    PREFECT_SERVER_DATABASE_CONNECTION_URL,
    temporary_settings,
)

from flows.service.daemon import Daemon
from flows.service.home import require_home
from tasks.io.errors import DotpipeError


@contextmanager
def at(home, database=None):
    url = f"sqlite+aiosqlite:///{database or home / 'prefect.db'}"
    with temporary_settings({PREFECT_HOME: home, PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        yield


@contextmanager
def largest_file(size):
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def said():
    with pytest.raises(DotpipeError) as caught:
        require_home()
    return str(caught.value)


def test_a_home_that_can_be_written_to_is_made_and_left_empty(tmp_path):
    with at(tmp_path / "new" / "home"):
        require_home()
    assert [*(tmp_path / "new" / "home").iterdir()] == []


def test_a_home_that_is_a_file_is_told_and_has_no_daemons(tmp_path):
    home = tmp_path / "file"
    home.write_text("", "utf-8")
    with at(home):
        assert said() == (
            f"a Prefect server keeps its database in {home}, where 8 MB must be free to write, got "
            "'File exists'; set PREFECT_HOME to another folder, or PREFECT_API_URL to a server "
            "that is there"
        )
        assert not Daemon("server").is_alive()


def test_a_database_elsewhere_is_looked_at_there(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with at(tmp_path, tmp_path / "file" / "prefect.db"):
        assert str(tmp_path / "file") in said()


def test_a_limit_on_the_size_of_files_is_told(tmp_path):
    with at(tmp_path), largest_file(100_000):
        assert "got 'File too large'" in said()


def test_a_database_that_cannot_grow_is_told(tmp_path):
    with (tmp_path / "prefect.db").open("wb") as file:
        file.truncate(50 << 20)
    with at(tmp_path), largest_file(52 << 20):
        assert f"{tmp_path / 'prefect.db'}, where" in said()


def test_a_database_of_another_user_is_told(tmp_path, monkeypatch):
    (tmp_path / "prefect.db").write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with at(tmp_path):
        assert "got 'Permission denied'" in said()


def test_of_another_kind_of_database_only_the_home_is_looked_at(tmp_path):
    url = "postgresql+asyncpg://me:sekret@db/prefect"
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_SERVER_DATABASE_CONNECTION_URL: url}):
        require_home()
