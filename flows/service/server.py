"""A Prefect server for runs that have none: started for the run, stopped after it.

The history is kept in Prefect's own database, so `prefect server start` shows it later.
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

from flows.service.health import answers, bypass_proxy
from flows.service.service import SERVER, served
from tasks.io.errors import DotpipeError

_PATIENCE_S = 120
_GOODBYE_S = 10


class Server:
    """A server process of our own, on a free port of this machine."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        handle, name = tempfile.mkstemp(prefix="dotpipe-server-", suffix=".log")
        self._log = Path(name)
        port = self.address.rpartition(":")[2]
        command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
        with os.fdopen(handle, "wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, fixed words
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; the server is still needed then
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
                env={**os.environ, "PREFECT_API_URL": f"{self.address}/api"},
            )

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
            DotpipeError: it does not.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if answers(f"{self.address}/api"):
                return
            time.sleep(0.1)
        tail = self._log.read_text(errors="replace")[-2000:]
        raise DotpipeError(
            f"the Prefect server must answer within {_PATIENCE_S} s, but does not; its last "
            f"words: {tail!r}. Start one with `prefect server start` and set PREFECT_API_URL"
        )

    def stop(self) -> None:
        """End the process; its log goes too."""
        self._process.terminate()
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.unlink(missing_ok=True)


@contextmanager
def prefect_server() -> Iterator[str]:
    """A server for the flows of this process; yields where to watch them.

    The one that PREFECT_API_URL or the active Prefect profile names, or that ``dotpipe up``
    has started, or one of our own.
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
    bypass_proxy()
    server = Server()
    try:
        server.wait()
        # A server that goes with this process needs no sign that the process is alive,
        # and ending the sign costs most of a second for every flow.
        api = {PREFECT_API_URL: f"{server.address}/api", PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings(api):
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
    """Send what Prefect still holds back, while there is somebody to take it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=_GOODBYE_S)
    APILogWorker.drain_all(timeout=_GOODBYE_S)
