"""The service of one machine: a Prefect server and a worker that run in the background."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)

from flows.service.daemon import Daemon
from flows.service.health import (
    STARTED_HERE,
    answers,
    bypass_proxy,
    dashboard_of,
    explained,
    last_words,
    require_answer,
)
from flows.service.home import require_home
from tasks.io.errors import DotpipeError

PORT = 4200
_LOOK_S = 2.0
"""Seconds from one look at whether server and worker are there to the next."""

_START_TIMEOUT_S = 120
"""Seconds until a process that was started must be ready."""

SERVER, WORKER = Daemon("server"), Daemon("worker")

BATCHED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
}
"""Settings of a server for many shards.

By default Prefect records task runs one by one; with many of them its queue of 10,000 messages
overflows, and messages are lost."""


def up(pool: str, port: int = PORT) -> str:
    """Start a server and a worker where they do not run yet; return the dashboard's address.

    Where PREFECT_API_URL or the active Prefect profile names a server, that one is used and
    none is started.

    Args:
        pool: the work pool that the worker takes runs from.
        port: of the server, on this machine.

    Raises:
        DotpipeError: the server or the worker does not start, or the worker that runs
            already is of another pool or server.
    """
    from flows.runs.takeover import crash_orphans

    with served(start_on=port) as address:
        if not WORKER.is_alive():
            if SERVER.is_alive() and SERVER.details() == [address]:  # no other machine has workers
                crash_orphans(pool)
            name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            WORKER.start(
                *("infra.worker", "--pool", pool, "--name", name),
                details=(name, pool, address),
                environment=_environment(str(PREFECT_API_URL.value())),
            )
        _wait(WORKER, lambda: _is_online(*WORKER.details()))
        _, *found = WORKER.details()
        if found != [pool, address]:
            raise DotpipeError(
                f"the worker of this machine must be of the pool {pool!r} of {address}, got "
                f"{found[0]!r} of {found[1]}; `dotpipe down` stops that one"
            )
        return address


def down() -> list[str]:
    """Stop what ``up`` has started, the worker first; return the names of what was running."""
    return [daemon.name for daemon in (WORKER, SERVER) if daemon.stop()]


def stay(pool: str, port: int, tell: Callable[[str], object]) -> None:
    """Start again what ends of what ``up`` has started, until ``down`` stops it.

    Args:
        pool: as given to ``up``.
        port: as given to ``up``.
        tell: takes a sentence about what has ended.

    Raises:
        DotpipeError: it does not start again.
    """
    watched = [daemon for daemon in (SERVER, WORKER) if daemon.is_alive()]
    while True:
        time.sleep(_LOOK_S)
        ended = [daemon for daemon in watched if not daemon.is_alive()]
        if not ended:
            continue
        time.sleep(_LOOK_S)  # what `down` stops is noted in the next moment
        if any(daemon.was_stopped() for daemon in watched):
            return
        for daemon in ended:
            said = last_words(daemon.end_of_log())
            tell(f"the {daemon.name} has ended and is started again; {daemon.log} says: {said}")
        up(pool, port)


@contextmanager
def served(start_on: int | None = None) -> Iterator[str]:
    """Have clients in the block use the lasting Prefect server, and yield its dashboard's address.

    That is the server which PREFECT_API_URL or the active Prefect profile names, or else the
    one that ``up`` has started.

    Args:
        start_on: where there is no server, start one on this port; None to raise instead.

    Raises:
        DotpipeError: there is no server, or it does not answer or start.
    """
    if given := PREFECT_API_URL.value():
        api = str(given).rstrip("/")
        require_answer(api)
        with explained(api), temporary_settings({PREFECT_API_URL: api}):
            yield dashboard_of(api)
        return
    bypass_proxy()
    if not SERVER.is_alive():
        if start_on is None:
            raise DotpipeError(
                "a Prefect server must be there, but none is; start one with a worker by "
                "`dotpipe up`, or set PREFECT_API_URL to that of your cluster"
            )
        _start_server(start_on)
    _wait(SERVER, lambda: answers(f"{SERVER.details()[0]}/api"))
    (address,) = SERVER.details()
    api = f"{address}/api"
    with temporary_settings(own_settings(api)), explained(api, SERVER.end_of_log):
        require_answer(api, SERVER.end_of_log)
        yield address


def own_settings(api: str) -> dict[Any, Any]:
    """Settings of Prefect for a client of a server that was started here.

    The password is the one that this user has such servers ask for.

    Args:
        api: the server's API address.
    """
    password = PREFECT_SERVER_API_AUTH_STRING.value()
    return {PREFECT_API_URL: api} | ({PREFECT_API_AUTH_STRING: password} if password else {})


def _start_server(port: int) -> None:
    require_home()
    _require_free(port)
    address = f"http://127.0.0.1:{port}"
    arguments = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    batched = {name: os.environ.get(name, setting) for name, setting in BATCHED.items()}
    SERVER.start(
        *arguments, details=(address,), environment=_environment(f"{address}/api") | batched
    )


def _require_free(port: int) -> None:
    """Check that no process listens on a port of this machine.

    Raises:
        DotpipeError: one does; it would be taken for our server.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DotpipeError(
                f"port {port} of this machine must be free for a Prefect server, got "
                f"{error.strerror!r}; name another by --port, or set PREFECT_API_URL="
                f"http://127.0.0.1:{port}/api to use a Prefect server that is there"
            ) from error


def _environment(api: str) -> dict[str, str]:
    """Variables of a process that uses the server at an API address and logs all it does."""
    password = PREFECT_API_AUTH_STRING.value()  # of the client in the block of ``served``
    known = {"PREFECT_API_AUTH_STRING": password} if password else {}
    return (
        STARTED_HERE
        | known
        | {
            "PREFECT_API_URL": api,
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
        }
    )


def _wait(daemon: Daemon, is_ready: Callable[[], bool]) -> None:
    """Return when a daemon is ready, or stop it.

    Raises:
        DotpipeError: it has ended, or is not ready in time.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while daemon.is_alive() and time.monotonic() < deadline:
        if daemon.details() and is_ready():
            return
        time.sleep(0.2)
    how = "is not" if daemon.stop() else "has ended"
    raise DotpipeError(
        f"the {daemon.name} must be ready within {_START_TIMEOUT_S} s, but {how}; the last error "
        f"in {daemon.log} is: {last_words(daemon.end_of_log())}"
    )


def _is_online(name: str, pool: str, _address: str) -> bool:
    """Whether the server has heard from a worker of this name in the pool lately."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    with get_client(sync_client=True) as client:
        try:
            workers = client.read_workers_for_work_pool(pool, worker_filter=online)
        except ObjectNotFound:
            return False
    return name in {worker.name for worker in workers}
