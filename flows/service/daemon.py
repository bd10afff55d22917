"""A background process that goes on when the command that started it has ended."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from prefect.settings import PREFECT_HOME

from flows.service import dated_log
from flows.service.dated_log import log_files

_STOP_TIMEOUT_S = 30
"""Seconds from one signal to the next; a worker waits for its flow runs to end."""

_LOG_TIMEOUT_S = 5
"""Seconds until the log of a process that has ended must be written."""

_PYTHON = sys.executable

_LOG_END_BYTES = 20_000
"""How much of the end of a log is looked at."""


@dataclass(frozen=True)
class Daemon:
    """A background process with a log, and with a file lock that it holds until it ends.

    Whether it is alive is known by the lock. A process number in a file would not do, because
    another process may have the number by now.
    """

    name: str

    @property
    def log(self) -> Path:
        """The file that the process's output is written to at the moment."""
        return (log_files(_folder(), self.name) or [_folder() / f"{self.name}.log"])[-1]

    def is_alive(self) -> bool:
        """Whether the process, or one that it has started, holds the lock."""
        try:
            with self._lock.open("r", encoding="utf-8") as stream:
                return not _locked(stream)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return False  # in the last two cases nothing can be started there either

    def details(self) -> list[str]:
        """The details that ``start`` was given; empty while the process is being started."""
        return [*map(str, self._recorded()[1:])]

    def start(
        self, *arguments: str, details: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        """Start ``python -m arguments…`` in a session of its own, unless it is alive.

        Args:
            arguments: the module, and its command line.
            details: facts about this process that ``details()`` gives to later commands.
            environment: variables beside those of this process.
        """
        _folder().mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+", encoding="utf-8") as lock:
            if not _locked(lock):
                return  # another command has just started it
            lock.truncate(0)  # the number of a former process may be another's by now
            with self._begun_log() as log:
                process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
                    [sys.executable, "-m", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock.fileno()],
                    env={**os.environ, **environment},
                )
            lock.write(json.dumps([process.pid, *details]))

    def stop(self) -> bool:
        """End the process and what it has started, and return whether it was alive.

        It gets SIGTERM, then its process group gets SIGTERM, then SIGKILL.
        """
        if not self.is_alive() or not (recorded := self._recorded()):
            return False
        number = int(recorded[0])
        steps = (os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGKILL)
        for send, how in steps:
            with suppress(ProcessLookupError):  # it may have ended before what it has started
                send(number, how)
                self._wait_for_end()
        self._forget()
        return True

    def was_stopped(self) -> bool:
        """Whether the process was ended by ``stop``, not by itself, and none was started since."""
        return not self.is_alive() and not self._recorded()

    def _forget(self) -> None:
        """Empty the record, unless another command has started the process again by now."""
        with self._lock.open("r+", encoding="utf-8") as lock:
            if _locked(lock):
                lock.truncate(0)

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)

    @contextmanager
    def _begun_log(self) -> Iterator[int]:
        """Yield a descriptor; what is written to it goes into dated files, by a process of its own.

        That process holds a lock until all has been written.
        """
        reader, writer = os.pipe()
        try:
            with self._log_lock.open("w", encoding="utf-8") as lock:
                _locked(lock)
                subprocess.Popen(  # noqa: S603 - our own interpreter, our own file
                    [_PYTHON, "-I", dated_log.__file__, str(_folder()), self.name],
                    stdin=reader,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    pass_fds=[lock.fileno()],
                )
            yield writer
        finally:
            os.close(reader)
            os.close(writer)

    def end_of_log(self) -> str:
        """The last 20,000 bytes of the log, as text; with its end, if the process has ended."""
        deadline = time.monotonic() + _LOG_TIMEOUT_S
        while not self.is_alive() and self._log_is_written() and time.monotonic() < deadline:
            time.sleep(0.02)
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_END_BYTES))
            return log.read().decode(errors="replace")

    def _recorded(self) -> list[Any]:
        """The process id, which is that of its process group too, and then the details."""
        text = self._lock.read_text("utf-8")
        return [*json.loads(text)] if text else []

    def _log_is_written(self) -> bool:
        """Whether a process is still at it."""
        try:
            with self._log_lock.open("r", encoding="utf-8") as lock:
                return not _locked(lock)
        except FileNotFoundError:
            return False

    @property
    def _lock(self) -> Path:
        return _folder() / f"{self.name}.lock"

    @property
    def _log_lock(self) -> Path:
        return _folder() / f"{self.name}-log.lock"


def _locked(stream: IO[str]) -> bool:
    """Try to lock an open file, and return whether that succeeded.

    The lock lasts until all processes that share the open file have closed it.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    return Path(PREFECT_HOME.value()) / "dotpipe"
