"""What a block of code takes: time, and memory of its device."""

import time
from pathlib import Path

import torch

_TOLERANCE = 16 << 20
"""Bytes by which Linux's counts of a process may differ that are the same."""


class Meter:
    """Seconds and bytes that a block takes.

    Bytes are those of the device, or of the process as Linux counts it; None elsewhere.
    """

    seconds = 0.0
    bytes: int | None = None

    def __init__(self, device: str) -> None:
        self._device, self._is_cuda = device, device.startswith("cuda")

    def __enter__(self) -> "Meter":
        if self._is_cuda:
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before: int | None = torch.cuda.memory_allocated(self._device)
        else:
            self._before = _forget_peak()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_cuda:
            torch.cuda.synchronize(self._device)
        self.seconds = time.perf_counter() - self._start
        peak = torch.cuda.max_memory_allocated(self._device) if self._is_cuda else _kept("VmHWM")
        self.bytes = None if peak is None or self._before is None else max(peak - self._before, 0)


def _forget_peak() -> int | None:
    """Have Linux count this process's largest memory from now on; return what it has now.

    None where that cannot be had: some containers take the order and do nothing.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # see proc(5)
    except OSError:
        return None
    now, peak = _kept("VmRSS"), _kept("VmHWM")
    if now is None or peak is None or peak > now + _TOLERANCE:
        return None
    return now


def _kept(name: str) -> int | None:
    """Return a number of bytes that Linux knows of this process."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)
