"""A process that stays when the command that began it has ended."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from prefect.settings import PREFECT_HOME

_GOODBYE_S = 30
"""A worker has its flow runs end first."""

_LAST_WORDS = 2000
"""Bytes of a log that are shown."""


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

    def notes(self) -> list[str]:
        """What was noted at its start; nothing while it begins."""
        return [*map(str, self._written()[1:])]

    def start(self, *words: str, notes: Sequence[str], environment: Mapping[str, str]) -> None:
        """Begin ``python -m words…`` in a session of its own."""
        _folder().mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock, self.log.open("ab") as log:
            if not _locked(lock):
                return  # another command has just begun it
            lock.truncate(0)  # the number of a former process may be another's by now
            process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
                [sys.executable, "-m", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                env={**os.environ, **environment},
            )
            lock.write(json.dumps([process.pid, *notes]))

    def stop(self) -> bool:
        """End the process and what it has started; whether there was one."""
        if not self.is_alive() or not (written := self._written()):
            return False
        number = int(written[0])
        steps = (os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGKILL)
        for send, how in steps:
            with suppress(ProcessLookupError):  # it may be gone, and what it began not
                send(number, how)
                self._wait_for_end()
        return True

    def _wait_for_end(self) -> None:
        deadline = time.monotonic() + _GOODBYE_S
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.1)

    def last_words(self) -> str:
        """The end of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_WORDS))
            return log.read().decode(errors="replace")

    def _written(self) -> list[Any]:
        """The number of the process, which is that of its group too, and the notes."""
        text = self._lock.read_text()
        return [*json.loads(text)] if text else []

    @property
    def _lock(self) -> Path:
        return _folder() / f"{self.name}.lock"


def _locked(stream: IO[str]) -> bool:
    """Whether the lock of a file is free, and ours now until the file is closed everywhere."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    return Path(PREFECT_HOME.value()) / "dotpipe"
