"""What task runs, flow runs and workers cost a Prefect server and its database, together."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from costs.empty_shards import on_server
from costs.large_service import History
from costs.server_history import EVENTS, size_of, wait_until_recorded
from prefect.settings.context import get_current_settings
from servers.child_processes import busy_s
from servers.postgres import Database, postgres
from servers.prefect_service import Service, prefect_service

from flows.service.service import BATCHED

_SHARDS, _SHARDS_ALONE, _RUNS, _REQUESTS = 2000, 500, 200, 300

_IDLE_S = 20.0
_SETTLING_S = 5.0
"""Until the server has started, or what it writes in batches is written."""


@dataclass
class _Server:
    """A server and its database, with nobody else at work on them."""

    service: Service
    database: Database
    idle: float = 0.0
    """Of a processor, that both take when nobody asks for anything."""

    def rest(self) -> None:
        """Learn what they take when idle."""
        time.sleep(_SETTLING_S)
        with self._busy(1) as spent:
            time.sleep(_IDLE_S)
        self.idle = spent[0] / _IDLE_S

    def of_shards(self, shards: int) -> tuple[float, float]:
        """Processor seconds and bytes for each of so many."""
        size = size_of(self.database)
        with self._busy(shards) as spent:
            on_server(self.service.variables, "shards", shards)
            wait_until_recorded(self.database, shards)
        return spent[0], (size_of(self.database) - size) / shards

    def of_runs(self, runs: int) -> tuple[float, float]:
        """Processor seconds and bytes for each of so many flow runs without tasks."""
        size = size_of(self.database)
        with self._busy(runs) as spent:
            on_server(self.service.variables, "runs", runs)
            time.sleep(_SETTLING_S)
        return spent[0], (size_of(self.database) - size) / runs

    def of_requests(self, path: str, **body: object) -> float:
        """Processor seconds for each of some equal requests."""
        client = httpx.Client(base_url=self.service.api, timeout=60)
        with client, self._busy(_REQUESTS) as spent:
            for _ in range(_REQUESTS):
                client.post(path, json=body).raise_for_status()
        return spent[0]

    @contextmanager
    def _busy(self, things: int) -> Iterator[list[float]]:
        """Processor seconds that the block costs both for each of so many things."""
        spent = list[float]()
        began, before = time.monotonic(), self._spent()
        yield spent
        idle = self.idle * (time.monotonic() - began)
        spent.append((self._spent() - before - idle) / things)

    def _spent(self) -> float:
        return busy_s(self.service.process) + busy_s(self.database.process)


def measure_history(folder: Path) -> History:
    """The costs, on PostgreSQL with its own settings."""
    with _server(folder / "batched", BATCHED) as server:
        shard_s, shard_bytes = server.of_shards(_SHARDS)
        events = size_of(server.database, "events", "event_resources")
        run_s, run_bytes = server.of_runs(_RUNS)
        server.service.ask("work_pools/", name="pool", type="process")
        poll_s = server.of_requests("/work_pools/pool/get_scheduled_flow_runs", limit=10)
        beat_s = server.of_requests("/work_pools/pool/workers/heartbeat", name="worker")
        idle = server.idle
    with _server(folder / "alone", {}) as server:
        alone_s, _ = server.of_shards(_SHARDS_ALONE)
    worker = get_current_settings().worker
    return History(
        idle=idle,
        shard_s=shard_s,
        shard_bytes=shard_bytes,
        alone_s=alone_s,
        event_bytes=events / (_SHARDS * EVENTS),
        events=EVENTS,
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
        server = _Server(service, database)
        server.rest()
        yield server
