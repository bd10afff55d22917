"""The Prefect server of a command: one that is there, or one that ends with the command.

The history of a server that ends is kept in Prefect's own database; `prefect server start`
shows it later.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.service.health import STARTED_HERE, answers, bypass_proxy, explained, last_words
from flows.service.home import require_home
from flows.service.service import SERVER, own_settings, served
from tasks.io.errors import DotpipeError
from tasks.io.store import temporary_room

_START_TIMEOUT_S = 120
"""Seconds until a server that was started must answer."""

_STOP_TIMEOUT_S = 10
"""Seconds until a server that was told to end is killed."""

_DRAIN_TIMEOUT_S = 10
"""Seconds in which the logs and events of this process can still be sent."""


class Server:
    """A Prefect server in a child process, on a free port of this machine."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with temporary_room():
            handle, name = tempfile.mkstemp(prefix="dotpipe-server-", suffix=".log")
        self._log = Path(name)
        port = self.address.rpartition(":")[2]
        command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed arguments
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; the server is still needed then
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                env={**os.environ, **STARTED_HERE, "PREFECT_API_URL": f"{self.address}/api"},
            )

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            DotpipeError: it has ended, or does not answer in time.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if answers(f"{self.address}/api"):
                return
            time.sleep(0.1)
        ended = self._process.poll()
        how = f"has not for {_START_TIMEOUT_S} s" if ended is None else f"ended with {ended}"
        raise DotpipeError(
            f"the Prefect server that was started must answer, but {how}: "
            f"{last_words(self.log())}. Or start one by `prefect server start` and set "
            "PREFECT_API_URL"
        )

    def log(self) -> str:
        """What the server has written so far."""
        return self._log.read_text("utf-8", "replace")

    def stop(self) -> None:
        """End the server, and remove its log."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.unlink(missing_ok=True)


@contextmanager
def prefect_server() -> Iterator[str]:
    """Have the flows in the block use a Prefect server, and yield its address.

    That is the server which PREFECT_API_URL or the active Prefect profile names, or which
    ``dotpipe up`` has started, or else one that is started here and ends with the block.

    Raises:
        DotpipeError: the server does not answer.
    """
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    if PREFECT_API_URL.value() or SERVER.is_alive():
        with served() as address:
            yield address
        return
    require_home()
    bypass_proxy()
    server = Server()
    try:
        server.wait()
        # Heartbeats tell a server that a process is alive. This server ends with the process
        # and needs none, and stopping them takes most of a second for every flow.
        api = f"{server.address}/api"
        ours = own_settings(api) | {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with explained(api, server.log), temporary_settings(ours):
            try:
                yield server.address
            finally:
                _drain()
    finally:
        server.stop()


def _end_with_parent() -> None:
    """Have the kernel end this process with its parent, even if that one is killed."""
    prctl_set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(prctl_set_parent_death_signal, signal.SIGTERM)


def _drain() -> None:
    """Send the logs and events that Prefect still holds, while the server is there."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
    APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
