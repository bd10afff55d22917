"""A Prefect server and workers as an operator runs them, which tests may kill.

    with postgres(tmp_path) as database, prefect_service(tmp_path, database.url) as service:
        with pointed_at(service), worker(tmp_path, service, pool="dotpipe") as first:
            ...                     # service.api is PREFECT_API_URL, service.address the dashboard
            first.kill()            # -9: the worker and its flow runs
            first.kill_alone()      # -9: the worker; its flow runs go on without it
            first.start()           # again, under the same name
            service.kill()          # -9
            service.start()         # again, on the same port and database

``pointed_at`` has flows and clients of this process use the server; a process of its own is
given ``service.variables``. Server and workers have a PREFECT_HOME each, and write into the
folder: ``server.log``, ``<worker's name>.log`` (with the output of its flow runs).

What is given as ``settings`` are variables of the environment; ``QUICK`` has the server and
the workers look for work every second or two, {} leaves them as Prefect has them. Flow runs
cannot be told to send a heartbeat more often than every 30 s, so nothing that waits for missing
ones (three of them) is quick.
"""

import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from servers.child_processes import begin, end, end_of_log, free_port, kill, with_variable

from flows.cli.commands import QUIET

QUICK: Mapping[str, str] = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_WORKER_PREFETCH_SECONDS": "1",
    "PREFECT_WORKER_HEARTBEAT_SECONDS": "2",
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
}
"""Loops that an operator leaves at 2 to 60 s, at a second or two."""

_CONSOLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
_START_TIMEOUT_S = 120


@dataclass
class PrefectProcess(ABC):
    """A Prefect server or worker that can be started, killed, and started again."""

    words: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes]" = field(init=False)
    started: datetime = field(init=False)

    def start(self) -> None:
        """Start the process, and return when it is at work."""
        self.started = datetime.now(UTC)
        program = [sys.executable, "-m", "prefect", *self.words]
        self.process = begin(program, log=self.log, env=self.environment)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.is_at_work():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(
                    f"prefect {' '.join(self.words)} must be at work within "
                    f"{_START_TIMEOUT_S} s, but is not; {self.log} ends with "
                    f"{end_of_log(self.log)!r}"
                )
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill (-9) the process and all processes that it or a former one has started."""
        kill(with_variable("PREFECT_HOME", self.environment["PREFECT_HOME"]))
        self.process.wait()

    def kill_alone(self) -> None:
        """Kill (-9) the process alone; the processes that it has started go on."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Have the process end, and kill all that it has started."""
        end(self.process)
        self.kill()

    @abstractmethod
    def is_at_work(self) -> bool:
        """Whether the process does its work since it was last started."""


@dataclass
class Service(PrefectProcess):
    """A Prefect server; ``address`` is the dashboard's."""

    address: str

    @property
    def api(self) -> str:
        """The address of the API, as in PREFECT_API_URL."""
        return f"{self.address}/api"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of a user of this server."""
        home = {"PREFECT_HOME": f"{self.environment['PREFECT_HOME']}-user"}
        return {**self.environment, **home, _CONSOLE: QUIET[_CONSOLE]}

    def ask(self, path: str, **body: Any) -> Any:
        """The API's answer to a POST with this body, or to a GET where there is no body."""
        url = f"{self.api}/{path.lstrip('/')}"
        answer = httpx.post(url, json=body, timeout=60) if body else httpx.get(url, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def is_at_work(self) -> bool:
        """Whether the server reports that it is healthy."""
        try:
            return httpx.get(f"{self.api}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False


@dataclass
class Worker(PrefectProcess):
    """A worker that starts flow runs as processes of this machine."""

    name: str
    pool: str
    service: Service

    def is_at_work(self) -> bool:
        """Whether the server has had a heartbeat of the worker since it was started."""
        try:
            known = self.service.ask(f"work_pools/{self.pool}/workers/filter", limit=200)
        except httpx.HTTPError:  # the worker makes the pool, if there is none
            return False
        beats = [one["last_heartbeat_time"] for one in known if one["name"] == self.name]
        return any(datetime.fromisoformat(beat) > self.started for beat in beats)


@contextmanager
def prefect_service(
    folder: Path, database_url: str, settings: Mapping[str, str] = QUICK, words: Sequence[str] = ()
) -> Iterator[Service]:
    """A Prefect server on a database, started; whatever the block does to it, it ends with it.

    Args:
        folder: for its log and its PREFECT_HOME.
        database_url: as PREFECT_SERVER_DATABASE_CONNECTION_URL has it.
        settings: more variables of its environment.
        words: more of its command line, as ``["--no-services"]``.
    """
    port = str(free_port())
    address = f"http://127.0.0.1:{port}"
    known = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url, **settings}
    service = Service(
        ["server", "start", "--host", "127.0.0.1", "--port", port, *words],
        _environment(folder / "server-home", f"{address}/api", known),
        folder / "server.log",
        address,
    )
    with _running(service):
        yield service


@contextmanager
def worker(
    folder: Path,
    service: Service,
    *,
    pool: str,
    name: str = "worker",
    queues: Sequence[str] = (),
    limit: int | None = None,
    settings: Mapping[str, str] = QUICK,
) -> Iterator[Worker]:
    """A process worker, started; whatever the block does to it, it ends with its flow runs.

    Args:
        folder: for its log and its PREFECT_HOME.
        service: the server that it asks for work.
        pool: the work pool; made, of the type process, if there is none.
        name: its own; several in one folder must differ in it.
        queues: work queues that it takes from; all of the pool's by default.
        limit: flow runs at a time.
        settings: more variables of its environment, which its flow runs have as well.
    """
    words = ["worker", "start", "--pool", pool, "--type", "process", "--name", name]
    words += [word for queue in queues for word in ("--work-queue", queue)]
    words += ["--limit", str(limit)] if limit is not None else []
    environment = _environment(folder / f"{name}-home", service.api, settings)
    started = Worker(words, environment, folder / f"{name}.log", name, pool, service)
    with _running(started):
        yield started


@contextmanager
def pointed_at(service: Service) -> Iterator[None]:
    """Flows and clients of this process use the service, and no history but their own."""
    home = Path(service.variables["PREFECT_HOME"])
    with temporary_settings({PREFECT_API_URL: service.api, PREFECT_HOME: home}):
        yield


@contextmanager
def _running(process: PrefectProcess) -> Iterator[None]:
    process.start()
    try:
        yield
    finally:
        process.stop()


def _environment(home: Path, api: str, settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with its Prefect variables replaced by these."""
    known = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
    direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "COLUMNS": "120"}
    ours = {"PREFECT_HOME": str(home), "PREFECT_API_URL": api, _CONSOLE: "INFO"}
    return {**known, **direct, **QUIET, **ours, **settings}
