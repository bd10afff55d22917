"""A server on PostgreSQL, workers that are processes, and commands as a user begins them."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers.postgres import postgres
from servers.prefect_service import prefect_service, worker

BIN = Path(sys.executable).parent
COMPUTING = ("nightly", "backfill")


@pytest.fixture
def database(tmp_path):
    with postgres(tmp_path) as running:
        yield running


@pytest.fixture
def service(tmp_path, database):
    with prefect_service(tmp_path, database.url) as running:
        yield running


@pytest.fixture
def workers(tmp_path, service):
    """One that takes conductors only, and two that take the rest."""
    with ExitStack() as stack:
        started = {}
        for name, queues in (("lead", ["conductors"]), ("one", COMPUTING), ("two", COMPUTING)):
            one = worker(tmp_path, service, pool="dotpipe", name=name, queues=queues, limit=1)
            started[name] = stack.enter_context(one)
        yield started


@pytest.fixture
def dotpipe(service):
    """Begins a command as a user of the service does."""
    begun = []

    def begin(*words):
        process = subprocess.Popen(
            [BIN / "dotpipe", *map(str, words)],
            env=service.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()
