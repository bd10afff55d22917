"""A server on PostgreSQL, workers that are processes, and what becomes of it when they are killed."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import yaml
from postgres import postgres
from service import pointed_at, prefect_service, worker

from flows.backfill import backfill
from flows.deployments import defined
from flows.fit_transport import fit_transport
from flows.shard_corpus import shard_corpus

pytestmark = [pytest.mark.slow, pytest.mark.service]

BIN = Path(sys.executable).parent
COMPUTING = ("nightly", "backfill")
SMALL = {"shards": {"images": 1}, "blocks": {"shards": 2, "at_once": 3}}
"""Eight shards in four blocks."""


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


@pytest.fixture(scope="module")
def undisturbed_in_blocks(tmp_path_factory, photographs, new_project, server):
    """What one process leaves of the same configuration."""
    project = new_project(tmp_path_factory.mktemp("undisturbed") / "project")
    backfill(project.configure(**SMALL))
    return project.lasting()


@pytest.fixture
def fitted(project, server):
    """The project with its shards and its operator; nothing is enhanced."""
    config = project.configure(**SMALL)
    shard_corpus(config)
    fit_transport(config)
    return project


def wait_for(claim, patience_s=180):
    deadline = time.monotonic() + patience_s
    while not (found := claim()):
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.2)
    return found


def runs_of(service, flow, *states):
    """The flow runs of a flow, oldest first, in these states or in any."""
    asked = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    if states:
        asked["flow_runs"] = {"state": {"name": {"any_": list(states)}}}
    return service.ask("flow_runs/filter", **asked)


def taken_by(one):
    """The ids of the flow runs that a worker has begun, by its log."""
    return set(re.findall(r"submitting flow run '([0-9a-f-]{36})'", one.log.read_text()))


def dotpipe(service, *words):
    return subprocess.Popen(
        [BIN / "dotpipe", *map(str, words)],
        env=service.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def require_success(process):
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return said


def require_no_duplicate_rows(project):
    table = ds.dataset(project.workspace / "metrics", format="parquet").to_table()
    rows = Counter(zip(*(table[name].to_pylist() for name in ("signal", "alpha", "key"))))
    assert set(rows.values()) == {1}


@pytest.mark.usefixtures("workers")
def test_a_backfill_is_divided_over_the_workers(fitted, undisturbed_in_blocks, service):
    said = require_success(dotpipe(service, "backfill", fitted.file))
    assert "report: " in said
    assert fitted.lasting() == undisturbed_in_blocks
    names = [run["name"] for run in runs_of(service, "enhance-block", "Completed")]
    assert sorted(names) == [f"enhance tiny shard-00000{number}" for number in (0, 2, 4, 6)]
    again = require_success(dotpipe(service, "backfill", fitted.file))
    assert "nothing to do" in again
    assert len(runs_of(service, "enhance-block")) == 4
