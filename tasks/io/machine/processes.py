"""Where this process runs, and whether another process of the same place has ended."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path


@cache
def place() -> str:
    """Return a name for all processes that see the same process numbers as this one does.

    It tells apart hosts, containers that share a host name, and times before and after a
    restart of the machine.
    """
    try:
        inside = str(Path("/proc/self/ns/pid").readlink())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        inside = boot = ""
    mark = hashlib.sha256(f"{inside}\0{boot}".encode()).hexdigest()[:8]
    return f"{socket.gethostname()}~{mark}"


def is_dead(where: str, process: int) -> bool:
    """Whether a process is known to have ended; False for one of another place.

    Args:
        where: the ``place`` of the process.
        process: its number there.
    """
    return where == place() and not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
