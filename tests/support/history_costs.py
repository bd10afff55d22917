"""What task runs, flow runs and workers cost a Prefect server and its database, together."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from children import busy_s
from empty_shards import on_server
from expectations import History
from history import EVENTS, size_of, wait_until_recorded
from postgres import Database, postgres
from prefect.settings.context import get_current_settings
from service import BATCHED, Service, prefect_service

_SHARDS, _SHARDS_ALONE, _RUNS, _REQUESTS = 2000, 500, 200, 300

_WRITING_S = 5.0
"""Until the events of flow runs are written, in batches."""


@dataclass(frozen=True)
class _Server:
    """A server and its database, with nobody else at work on them."""

    service: Service
    database: Database

    def busy_s(self) -> float:
        """Processor seconds that both have taken."""
        return busy_s(self.service.process) + busy_s(self.database.process)

    def of_shards(self, shards: int) -> tuple[float, float]:
        """Processor seconds and bytes for each of so many."""
        size, busy = size_of(self.database), self.busy_s()
        on_server(self.service.variables, "shards", shards)
        wait_until_recorded(self.database, shards)
        return (self.busy_s() - busy) / shards, (size_of(self.database) - size) / shards

    def of_runs(self, runs: int) -> tuple[float, float]:
        """Processor seconds and bytes for each of so many flow runs without tasks."""
        size, busy = size_of(self.database), self.busy_s()
        on_server(self.service.variables, "runs", runs)
        time.sleep(_WRITING_S)
        return (self.busy_s() - busy) / runs, (size_of(self.database) - size) / runs

    def of_requests(self, path: str, **body: object) -> float:
        """Processor seconds for each of some equal requests."""
        with httpx.Client(base_url=self.service.api, timeout=60) as client:
            busy = self.busy_s()
            for _ in range(_REQUESTS):
                client.post(path, json=body).raise_for_status()
            return (self.busy_s() - busy) / _REQUESTS


def measure_history(folder: Path) -> History:
    """The costs, on PostgreSQL with its own settings."""
    with _server(folder / "batched", BATCHED) as server:
        shard_s, shard_bytes = server.of_shards(_SHARDS)
        events = size_of(server.database, "events", "event_resources")
        run_s, run_bytes = server.of_runs(_RUNS)
        server.service.ask("work_pools/", name="pool", type="process")
        poll_s = server.of_requests("/work_pools/pool/get_scheduled_flow_runs", limit=10)
        beat_s = server.of_requests("/work_pools/pool/workers/heartbeat", name="worker")
    with _server(folder / "alone", {}) as server:
        alone_s, _ = server.of_shards(_SHARDS_ALONE)
    worker = get_current_settings().worker
    return History(
        shard_s=shard_s,
        shard_bytes=shard_bytes,
        alone_s=alone_s,
        event_bytes=events / (_SHARDS * EVENTS),
        run_s=run_s,
        run_bytes=run_bytes,
        poll_s=poll_s,
        beat_s=beat_s,
        poll_every_s=worker.query_seconds,
        beat_every_s=worker.heartbeat_seconds,
    )


@contextmanager
def _server(folder: Path, settings: Mapping[str, str]) -> Iterator[_Server]:
    folder.mkdir()
    with (
        postgres(folder, settings={}) as database,
        prefect_service(folder, database.url, settings=settings) as service,
    ):
        yield _Server(service, database)
