"""Ten thousand shards without work through a real Prefect server on PostgreSQL.

Server, database and flow share two processors; the server keeps its messages in its own
memory, as that of `dotpipe up` does.
"""

import os
import time

import pytest
from costs.empty_shards import on_server
from costs.server_history import size_of, wait_until_recorded
from servers.child_processes import busy_s
from servers.postgres import postgres
from servers.prefect_service import prefect_service

from flows.service.service import BATCHED

SHARDS = 10_000
CORES = 2


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
    idle = [busy_s(each.process) for each in (service, database)]
    marks = on_server(service.variables, "shards", SHARDS)
    drained = wait_until_recorded(database, SHARDS) - start
    resident = {mark.shards: mark.resident_bytes for mark in marks}
    busy = [busy_s(each.process) - s for each, s in zip((service, database), idle, strict=True)]
    flow_s = marks[-1].second - marks[0].second
    print(
        f"\n{SHARDS} shards: {1e3 * flow_s / SHARDS:.1f} ms a shard until the flow has ended, "
        f"{1e3 * drained / SHARDS:.1f} ms from its process's start until all is recorded; "
        f"load {os.getloadavg()[0]:.1f}"
        f"\nprocessor time: server {1e3 * busy[0] / SHARDS:.1f} ms a shard, database "
        f"{1e3 * busy[1] / SHARDS:.1f} ms"
        f"\nresident memory: {resident[2000] >> 20} MiB after 2,000 shards, "
        f"{resident[SHARDS] >> 20} MiB after {SHARDS:,}"
        f"\ndatabase: {(size_of(database) - before) / SHARDS:,.0f} bytes a shard"
        f"\n{database.ask(LARGEST)}"
    )
    assert drained / SHARDS <= 0.030
    assert resident[SHARDS] <= 1.1 * resident[2000]


LARGEST = f"""select relname || ': ' || pg_total_relation_size(oid) / {SHARDS} || ' bytes a shard'
    from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
    order by pg_total_relation_size(oid) desc limit 5"""
