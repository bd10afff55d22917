"""What the work of this process may use, where something else shares a machine out.

A cluster's scheduler gives every task its processors and its device; without one, all that
the process can see is its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Allotment:
    """The share of a machine that one task has."""

    cores: int
    """Processors, at least one."""
    devices: tuple[int, ...]
    """CUDA devices by torch's numbers; none where the task asked for none."""


_held: list[Allotment] = []


def allotment() -> Allotment | None:
    """The share of the task that runs; None where nothing shares the machine out."""
    return _held[-1] if _held else None


@contextmanager
def allotted(share: Allotment) -> Iterator[None]:
    """Everything that this process does in the block has this share, in all its threads."""
    _held.append(share)
    try:
        yield
    finally:
        _held.remove(share)


def cores() -> int:
    """Processors that this process may use, or the task that runs in it."""
    if (share := allotment()) is not None:
        return share.cores
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
