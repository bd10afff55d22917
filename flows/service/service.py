"""The service of one machine: a Prefect server and a worker that stay when the command ends."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.service.daemon import Daemon
from flows.service.health import answers, bypass_proxy
from tasks.io.errors import DotpipeError

PORT = 4200
_PATIENCE_S = 120

SERVER, WORKER = Daemon("server"), Daemon("worker")

BATCHED = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "1000",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
}
"""Settings of a server for many shards. By default Prefect records task runs one by one, falls
behind where there are many, and drops what its queue of 10,000 messages does not take."""


def up(pool: str, port: int = PORT) -> str:
    """Start what is not running yet, a server and a worker; the dashboard's address.

    A server that PREFECT_API_URL or the active Prefect profile names is used instead of one
    of our own.

    Raises:
        DotpipeError: one of them does not start.
    """
    from flows.runs.takeover import crash_orphans

    with served(start_on=port) as address:
        if not WORKER.is_alive():
            if SERVER.is_alive() and SERVER.notes() == [address]:  # nobody else has workers there
                crash_orphans(pool)
            name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            words = ("infra.worker", "--pool", pool, "--name", name)
            WORKER.start(*words, notes=(name, pool, address), environment=_environment(address))
        _wait(WORKER, lambda: _is_online(*WORKER.notes()))
        _, *place = WORKER.notes()
        if place != [pool, address]:
            raise DotpipeError(
                f"the worker of this machine must be of the pool {pool!r} of {address}, got "
                f"{place[0]!r} of {place[1]}; `dotpipe down` stops that one"
            )
        return address


def down() -> list[str]:
    """End what ``up`` has started, the worker first; the names of what was running."""
    return [daemon.name for daemon in (WORKER, SERVER) if daemon.stop()]


@contextmanager
def served(start_on: int | None = None) -> Iterator[str]:
    """The address of the server that lasts, which clients in the block talk to.

    Args:
        start_on: the port to start one on where there is none.

    Raises:
        DotpipeError: there is none.
    """
    if given := PREFECT_API_URL.value():
        require_answer(str(given))
        yield str(given).removesuffix("/api")
        return
    bypass_proxy()
    if not SERVER.is_alive():
        if start_on is None:
            raise DotpipeError(
                "a Prefect server must be there, but none is; start one with a worker by "
                "`dotpipe up`, or set PREFECT_API_URL to that of your cluster"
            )
        _start_server(start_on)
    _wait(SERVER, lambda: answers(f"{SERVER.notes()[0]}/api"))
    (address,) = SERVER.notes()
    with temporary_settings({PREFECT_API_URL: f"{address}/api"}):
        yield address


def require_answer(api: str) -> None:
    """Check that the server at an address is well.

    Raises:
        DotpipeError: it does not answer.
    """
    if not answers(api):
        raise DotpipeError(
            f"the Prefect server at PREFECT_API_URL={api} must answer, but does not; start it, or "
            "unset the variable (or the setting of the Prefect profile) for one of dotpipe's own"
        )


def _start_server(port: int) -> None:
    _require_free(port)
    address = f"http://127.0.0.1:{port}"
    words = ("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    batched = {name: os.environ.get(name, setting) for name, setting in BATCHED.items()}
    SERVER.start(*words, notes=(address,), environment=_environment(address) | batched)


def _require_free(port: int) -> None:
    """Check that nobody listens on a port of this machine.

    Raises:
        DotpipeError: somebody does, who might be taken for our server.
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


def _environment(address: str) -> dict[str, str]:
    """Logs go into the file as Prefect writes them; the server is the one at the address."""
    return {
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    }


def _wait(daemon: Daemon, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while daemon.is_alive() and time.monotonic() < deadline:
        if daemon.notes() and is_ready():
            return
        time.sleep(0.2)
    daemon.stop()
    raise DotpipeError(
        f"the {daemon.name} must be ready within {_PATIENCE_S} s, but is not; the last words of "
        f"{daemon.log}: {daemon.last_words()!r}"
    )


def _is_online(name: str, pool: str, _address: str) -> bool:
    """Whether a worker polls its pool."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    with get_client(sync_client=True) as client:
        try:
            workers = client.read_workers_for_work_pool(pool, worker_filter=online)
        except ObjectNotFound:
            return False
    return name in {worker.name for worker in workers}
