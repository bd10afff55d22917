"""Processor cores, which say how much is done side by side."""

import os

from tasks.io.machine.resources import allotment


def cores() -> int:
    """Processors that this process may use, or the task that runs in it."""
    if (share := allotment()) is not None:
        return share.cores
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
