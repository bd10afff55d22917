"""Where the time of a shard goes, as the thread that makes it sees it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from torch import Tensor

from dot_kernels import Codec
from tasks.io.machine.devices import device_label
from tasks.jobs.job import Outcome

T = TypeVar("T")

Lap = Literal[
    "load networks",
    "read",
    "restore",
    "encode network",
    "transport",
    "decode network",
    "statistics",
    "metrics",
    "write",
]
"""What a shard's thread is busy with, or waits for, in the order of the work.

``read`` is waiting for pictures, and bringing them to the device; ``metrics`` are the networks
of the metrics, and waiting for the threads that score; ``write`` is waiting for the threads
that encode, writing, publishing, and whatever is left."""

LAPS: tuple[Lap, ...] = get_args(Lap)


class Stopwatch:
    """Tells where the time of one thread goes; every second counts for one lap only.

    Laps may hold others: the inner one counts then, and the outer one goes on after it.

    A lap on a CUDA device ends when the device has done what it was given, or the next one
    would be blamed for it. The device then idles until the next kernel arrives: some ten times
    a batch, for tens of microseconds, which is below 1 % of a batch of 100 ms.
    """

    def __init__(self, device: str | None = None) -> None:
        """A watch for a thread that gives the device work; None if it gives it none."""
        self._device = device
        self._seconds = defaultdict[Lap, float](float)
        self._laps: list[Lap] = []
        self._since = 0.0

    @contextmanager
    def lap(self, part: Lap) -> Iterator[None]:
        """Count the time of a block under a name."""
        self._turn()
        self._laps.append(part)
        try:
            yield
        finally:
            self._turn()
            self._laps.pop()

    def each(self, part: Lap, items: Iterable[T]) -> Iterator[T]:
        """The items; the time that each takes to come counts under a name."""
        iterator = iter(items)
        while True:
            with self.lap(part):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def so_far(self) -> dict[str, float]:
        """Seconds by lap up to now, to the millisecond."""
        self._turn()
        return {part: round(self._seconds[part], 3) for part in LAPS if part in self._seconds}

    def _turn(self) -> None:
        """Count the time up to now for the lap that was running."""
        if self._laps and self._device is not None and self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._laps:
            self._seconds[self._laps[-1]] += now - self._since
        self._since = now


def timed(device: str | None, work: Callable[[Stopwatch], Outcome]) -> Outcome:
    """The outcome of some work with its times, and where it came about.

    Args:
        device: that the work's thread gives networks to run; None if it gives it none.
        work: told the watch; what it does in no lap counts as ``write``.
    """
    watch = Stopwatch(device)
    with watch.lap("write"):
        outcome = work(watch)
    place = {} if device is None else {"device": device_label(device)}
    return outcome.model_copy(update={"seconds": watch.so_far(), **place})


@dataclass(frozen=True, slots=True)
class TimedCodec:
    """A codec whose two networks are laps of their own."""

    codec: Codec
    watch: Stopwatch

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel, along each side."""
        return self.codec.factor

    @property
    def channels(self) -> int:
        """Latent channels."""
        return self.codec.channels

    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [0, 1]."""
        with self.watch.lap("encode network"):
            return self.codec.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Images, in [0, 1] up to overshoot."""
        with self.watch.lap("decode network"):
            return self.codec.decode(latents)
