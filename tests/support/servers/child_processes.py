"""Processes that tests start: they end with the tests, whatever happens to those.

    process = begin(["postgres", …], log=folder / "postgres.log")
    kill(family(process))                           # -9, it and its children
    kill(with_variable("PREFECT_HOME", str(folder)))  # -9, orphans as well
    end(process)                                    # SIGTERM, and -9 if it does not end

Begin them from the main thread: the kernel ends them with the thread that began them.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil


def begin(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, whose output is appended to a file.

    Args:
        command: the program and its words.
        log: the file.
        env: the whole environment; this process's by default.
        user: another user to run it as; for root only.
        death_signal: what the kernel sends it when this process has ended.
    """
    rights: dict[str, Any] = (
        {} if user is None else {"user": user, "group": _group(user), "extra_groups": []}
    )
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            preexec_fn=_death_signal(death_signal) if sys.platform == "linux" else None,  # noqa: PLW1509
            **rights,
        )


def end(
    process: subprocess.Popen[bytes],
    how: signal.Signals = signal.SIGTERM,
    timeout_s: float = 15,
) -> None:
    """Send a process a signal, and kill it and its children if it does not end in time."""
    with suppress(ProcessLookupError):
        process.send_signal(how)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
        return
    kill(family(process))
    process.wait()


def kill(processes: Iterable[psutil.Process]) -> None:
    """End processes at once, as a crash of their machine would; returns when they are gone."""
    gone = list(processes)
    for process in gone:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(gone, timeout=15)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all that it and its children have started and that still run."""
    try:
        eldest = psutil.Process(process.pid)
        return [eldest, *eldest.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def busy_s(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds of a process and its children, including children that have ended."""
    spent = 0.0
    for member in family(process):
        with suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def with_variable(name: str, text: str) -> list[psutil.Process]:
    """All processes with this variable in their environment, orphans as well."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == text:
                found.append(process)
    return found


def free_port() -> int:
    """A port of this machine that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_of_log(log: Path, characters: int = 2000) -> str:
    """The end of a log, for the message of an error; empty where there is no log."""
    return log.read_text(errors="replace")[-characters:] if log.exists() else ""


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _death_signal(number: signal.Signals) -> Callable[[], object]:
    """Has the kernel send a signal to the child process when this one has ended."""
    library, ours = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        prctl_set_parent_death_signal = 1
        library.prctl(prctl_set_parent_death_signal, int(number))
        if os.getppid() != ours:  # it ended before the signal was asked for
            os.kill(os.getpid(), number)

    return ask
