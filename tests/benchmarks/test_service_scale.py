"""Ten thousand shards without work through a real Prefect server on PostgreSQL.

Server, database and flow share two processors; the server keeps its messages in its own
memory, as that of `dotpipe up` does.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import empty_shards
import pytest
from postgres import Database, postgres
from service import Service, prefect_service

SHARDS = 10_000
CORES = 2
LANES = 2
PATIENCE_S = 600

BATCHED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
}
"""What infra/limits.md tells operators to set. Prefect records task runs one by one otherwise,
falls behind, and drops what does not fit into its queue of 10,000 messages."""

STATES, EVENTS, LOGS = 3, 4, 2
"""Of each shard: pending, running, completed; an event for each, and dotpipe's own; a line of
dotpipe's and one of Prefect's."""


class Recorded(NamedTuple):
    """What the database has of the shards."""

    completed: int
    states: int
    events: int
    logs: int


EVERYTHING = Recorded(SHARDS, STATES * SHARDS, EVENTS * SHARDS, LOGS * SHARDS)


@pytest.fixture
def two_cores():
    """All that the test starts stays on two processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture
def database(two_cores, tmp_path):
    """As safe against a power cut as a fresh installation of PostgreSQL is."""
    with postgres(tmp_path, settings={}) as running:
        yield running


@pytest.fixture
def service(database, tmp_path):
    with prefect_service(tmp_path, database.url, settings=BATCHED) as running:
        yield running


def test_10_000_shards_cost_at_most_30_ms_each_and_no_memory(service, database):
    before, start = size_of(database), time.time()
    marks = run_flow(service)
    drained = wait_until_recorded(database) - start
    resident = {mark.shards: mark.resident_bytes for mark in marks}
    flow_s = marks[-1].second - marks[0].second
    print(
        f"\n{SHARDS} shards: {1e3 * flow_s / SHARDS:.1f} ms a shard until the flow has ended, "
        f"{1e3 * drained / SHARDS:.1f} ms from its process's start until all is recorded; "
        f"load {os.getloadavg()[0]:.1f}"
        f"\nresident memory: {resident[2000] >> 20} MiB after 2,000 shards, "
        f"{resident[SHARDS] >> 20} MiB after {SHARDS:,}"
        f"\ndatabase: {(size_of(database) - before) / SHARDS:,.0f} bytes a shard"
        f"\n{database.ask(LARGEST)}"
    )
    assert drained / SHARDS <= 0.030
    assert resident[SHARDS] <= 1.1 * resident[2000]


def run_flow(service: Service) -> list[empty_shards.Mark]:
    """The marks of a process that runs the flow, as a user's does."""
    here = [str(Path(empty_shards.__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run(
        [sys.executable, empty_shards.__file__, str(SHARDS), str(LANES)],
        env={**service.variables, "PYTHONPATH": os.pathsep.join(here)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [empty_shards.Mark(*mark) for mark in json.loads(done.stdout)["marks"]]


def wait_until_recorded(database: Database) -> float:
    """When the server had written all that the flow told it; nothing of it may be lost."""
    last, changed = recorded(database), time.time()
    while last != EVERYTHING:
        assert time.time() - changed < PATIENCE_S / 10, f"the server lost some of it: {last}"
        time.sleep(0.5)
        if (now := recorded(database)) != last:
            last, changed = now, time.time()
    return changed


def recorded(database: Database) -> Recorded:
    sql = """select (select count(*) from task_run where state_type = 'COMPLETED'),
        (select count(*) from task_run_state),
        (select count(*) from events where event like 'prefect.task-run.%'
            or event like 'dotpipe.shard.%'),
        (select count(*) from log where task_run_id is not null)"""
    return Recorded(*map(int, database.ask(sql).split("|")))


def size_of(database: Database) -> int:
    return int(database.ask("select pg_database_size(current_database())"))


LARGEST = f"""select relname || ': ' || pg_total_relation_size(oid) / {SHARDS} || ' bytes a shard'
    from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
    order by pg_total_relation_size(oid) desc limit 5"""
