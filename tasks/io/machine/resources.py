"""The processors and devices that the work of this process may use.

Where a cluster's scheduler shares a machine out, each task has an allotment; elsewhere, all
that this process can see is its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Allotment:
    """The share of a machine that one task may use."""

    cores: int
    """Number of processors, at least one."""
    devices: tuple[int, ...]
    """CUDA devices by torch's numbers; empty where the task asked for none."""


_held: list[Allotment] = []


def allotment() -> Allotment | None:
    """Return the allotment of the task that runs; None where nothing shares the machine out."""
    return _held[-1] if _held else None


@contextmanager
def allotted(share: Allotment) -> Iterator[None]:
    """Make this the allotment of everything that this process does in the block, in all threads."""
    _held.append(share)
    try:
        yield
    finally:
        _held.remove(share)


def cores() -> int:
    """Return how many processors the task that runs, or else this process, may use."""
    if (share := allotment()) is not None:
        return share.cores
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
