"""Where the time of a shard goes: laps of the thread that makes it go in, seconds come out."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from dot_kernels import TiledCodec
from dot_kernels.stages import Stage
from tasks.io.machine.devices import device_label
from tasks.jobs.job import Outcome

T = TypeVar("T")

Lap = Literal[
    "load networks",
    "read",
    "train",
    "restore",
    "encode network",
    "transport",
    "decode network",
    "statistics",
    "metrics",
    "write",
]
"""What the thread of a shard does, or waits for, in the order of the work.

``read`` is waiting for images, and copying them to the device. ``metrics`` is running the
networks of the metrics, and waiting for the threads that score. ``write`` is waiting for the
threads that encode images, writing, publishing, and all that is in no other lap."""

LAPS: tuple[Lap, ...] = get_args(Lap)


class Stopwatch:
    """Measures the laps of one thread; every second counts for one lap only.

    A lap may run inside another: then the inner one counts, and the outer one goes on after it.

    A lap on a CUDA device ends when the device has done all that it was given; otherwise its
    time would count for the next lap. The device then idles until the next kernel arrives: some
    ten times a batch, for tens of microseconds, which is below 1 % of a batch of 100 ms.
    """

    def __init__(self, device: str | None = None) -> None:
        """Start with no lap.

        Args:
            device: that the thread runs networks on, which is waited for; None if it runs none.
        """
        self._device = device
        self._seconds = defaultdict[Lap, float](float)
        self._laps: list[Lap] = []
        self._since = 0.0

    @contextmanager
    def lap(self, part: Lap) -> Iterator[None]:
        """Count the time while the block runs for a lap."""
        self._turn()
        self._laps.append(part)
        try:
            yield
        finally:
            self._turn()
            self._laps.pop()

    def each(self, part: Lap, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; the time that each of them takes to come counts for a lap."""
        iterator = iter(items)
        while True:
            with self.lap(part):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def so_far(self) -> dict[str, float]:
        """Return the seconds of each lap up to now, to the millisecond."""
        self._turn()
        return {part: round(self._seconds[part], 3) for part in LAPS if part in self._seconds}

    def facts(self) -> dict[str, Any]:
        """Return what a record keeps: the laps up to now, and the device if there is one."""
        device = {} if self._device is None else {"device": device_label(self._device)}
        return {"laps": self.so_far(), **device}

    def _turn(self) -> None:
        """Count the time up to now for the lap that was running."""
        if self._laps and self._device is not None and self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._laps:
            self._seconds[self._laps[-1]] += now - self._since
        self._since = now


def timed(device: str | None, work: Callable[[Stopwatch], Outcome]) -> Outcome:
    """Return the outcome of some work with the seconds of its laps, and the device's name.

    Args:
        device: that the work's thread runs networks on; None if it runs none.
        work: is given the stopwatch; what it does in no lap counts as ``write``.
    """
    watch = Stopwatch(device)
    with watch.lap("write"):
        outcome = work(watch)
    ran_on = {} if device is None else {"device": device_label(device)}
    return outcome.model_copy(update={"seconds": watch.so_far(), **ran_on})


@dataclass(frozen=True, slots=True)
class TimedCodec:
    """A codec that counts the time of its two networks as laps of a stopwatch."""

    codec: TiledCodec
    watch: Stopwatch

    @property
    def tile(self) -> int:
        """See ``TiledCodec``."""
        return self.codec.tile

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel, along height and width."""
        return self.codec.factor

    @property
    def channels(self) -> int:
        """Latent channels."""
        return self.codec.channels

    @property
    def stages(self) -> tuple[Stage, ...]:
        """See ``TiledCodec``."""
        return self.codec.stages

    def with_stages(self, stages: Sequence[Stage]) -> "TimedCodec":
        """Return the same codec with these stages, which counts on the same stopwatch."""
        return replace(self, codec=self.codec.with_stages(stages))

    def activations(self, latents: Tensor, count: int) -> Iterator[Tensor]:
        """Yield what the first stages make of latents, in bands; see ``TiledCodec``."""
        return self.watch.each("decode network", self.codec.activations(latents, count))

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images (b, 3, h, w) in [0, 1]."""
        with self.watch.lap("encode network"):
            return self.codec.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, (b, 3, h, w) in [0, 1] up to overshoot."""
        with self.watch.lap("decode network"):
            return self.codec.decode(latents)

    def encode_bands(self, bands: Iterable[Tensor], height: int, width: int) -> Iterator[Tensor]:
        """Yield the latents of an image that comes band by band; see ``TiledCodec``."""
        parts = self.codec.encode_bands(self._waited(bands), height, width)
        return self.watch.each("encode network", parts)

    def decode_bands(self, bands: Iterable[Tensor], height: int, width: int) -> Iterator[Tensor]:
        """Yield the image of latents that come band by band; see ``TiledCodec``."""
        parts = self.codec.decode_bands(self._waited(bands), height, width)
        return self.watch.each("decode network", parts)

    def _waited(self, bands: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield bands, whose making is no time of the network that takes them."""
        return self.watch.each("transport", bands)
