"""The service of one machine: a Prefect server and a worker that stay when the command ends."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows.server import answers, bypass_proxy
from tasks.io.errors import DotpipeError

PORT = 4200
_PATIENCE_S = 120
_GOODBYE_S = 30
"""Workers end their flow runs first."""


@dataclass(frozen=True)
class Daemon:
    """A process that stays: its log, and a lock that it holds as long as it lives.

    The lock, unlike a number in a file, cannot be mistaken for another process's.
    """

    name: str

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return _folder() / f"{self.name}.log"

    def is_alive(self) -> bool:
        """Whether the process holds its lock."""
        try:
            with self._lock.open("r") as stream:
                return not _locked(stream)
        except FileNotFoundError:
            return False

    def note(self) -> str:
        """What was noted at its start."""
        return self._lock.read_text().partition(" ")[2]

    def start(self, *words: str, note: str, environment: Mapping[str, str]) -> None:
        """Begin ``python -m prefect words…`` in a session of its own."""
        _folder().mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock, self.log.open("ab") as log:
            if not _locked(lock):
                return  # another command has just begun it
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
                [sys.executable, "-m", "prefect", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                env={**os.environ, **environment},
            )
            lock.truncate(0)
            lock.write(f"{process.pid} {note}")

    def stop(self) -> bool:
        """End the process and what it has started; whether there was one."""
        if not self.is_alive():
            return False
        group = int(self._lock.read_text().partition(" ")[0])
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + _GOODBYE_S
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.is_alive():
            os.killpg(group, signal.SIGKILL)
        return True

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    @property
    def _lock(self) -> Path:
        return _folder() / f"{self.name}.lock"


SERVER, WORKER = Daemon("server"), Daemon("worker")


def up(pool: str, port: int = PORT) -> str:
    """Start what is not running yet, a server and a worker; the dashboard's address.

    A server that PREFECT_API_URL or the active Prefect profile names is used instead of one
    of our own.

    Raises:
        DotpipeError: one of them does not start.
    """
    with served(start_on=port) as address:
        if not WORKER.is_alive():
            words = ("worker", "start", "--pool", pool, "--type", "process")
            WORKER.start(*words, note=pool, environment=_environment(address))
        _wait(WORKER, lambda: _has_worker(pool))
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
    address = SERVER.note()
    _wait(SERVER, lambda: answers(f"{address}/api"))
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
    address = f"http://127.0.0.1:{port}"
    words = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
    SERVER.start(*words, note=address, environment=_environment(address))


def _environment(address: str) -> dict[str, str]:
    """Logs go into the file as Prefect writes them; the server is the one at the address."""
    return {
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO",
    }


def _wait(daemon: Daemon, is_ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_ready():
        if not daemon.is_alive() or time.monotonic() > deadline:
            daemon.stop()
            raise DotpipeError(
                f"the {daemon.name} must be ready within {_PATIENCE_S} s, but is not; the last "
                f"words of {daemon.log}: {daemon.last_words()!r}"
            )
        time.sleep(0.2)


def _has_worker(pool: str) -> bool:
    """Whether a worker polls the pool."""
    with get_client(sync_client=True) as client:
        try:
            workers = client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            return False
    return any(worker.status == "ONLINE" for worker in workers)


def _locked(stream: IO[str]) -> bool:
    """Whether the lock of a file is free, and ours now until the file is closed everywhere."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    return Path(PREFECT_HOME.value()) / "dotpipe"
