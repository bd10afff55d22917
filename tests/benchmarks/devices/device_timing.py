"""How long work takes on a device: the least of several rounds, as others may be at work too."""

import statistics
import time
from collections.abc import Callable

import torch


def seconds(work: Callable[[], object], device: str, rounds: int) -> float:
    """Seconds that work takes, the least of so many rounds after one that is not counted.

    On a GPU they are those until it has done what it was given. On a processor they are of this
    process's time on it, which does not grow while others have it.
    """
    if device.startswith("cuda"):
        return min(_until_done(work, device) for _ in range(rounds + 1))
    work()
    return min(_on_the_processor(work) for _ in range(rounds))


def added(
    more: Callable[[], object], less: Callable[[], object], device: str, rounds: int
) -> float:
    """Seconds that one work takes more than another: the median over rounds in which both are done.

    A small difference of large numbers, which may be below zero where others disturb it.
    """
    pairs = ((seconds(more, device, 1), seconds(less, device, 1)) for _ in range(rounds))
    return statistics.median(one - other for one, other in pairs)


def waited(work: Callable[[], object], rounds: int) -> float:
    """Seconds by the clock, the least of so many rounds after one that is not counted."""
    work()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def _until_done(work: Callable[[], object], device: str) -> float:
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _on_the_processor(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
