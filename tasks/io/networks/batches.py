"""Batches that fit into a device's memory: halved where they do not, and kept so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from tasks.io.shards.loader import Picture

T = TypeVar("T")
R = TypeVar("R")

_ALLOCATORS = ("DefaultCPUAllocator", "not enough memory", "_ALLOC_FAILED", "out of memory")
"""How torch tells that there is no memory, where it does so by a plain RuntimeError."""


@dataclass
class Batches:
    """Runs work in batches that the device has memory for.

    A size that it has none for is halved until one works. That holds for the same work on
    this device from then on, in the whole process: what is tried again and again fails
    again and again, and takes the time of an image each.

    An image that does not fit even alone is too large, if others fit. Where none does, the
    device is full for now, and ``require_room`` says so.
    """

    work: str
    device: str
    reduced_to: int | None = None
    """Images in the smallest batch that was cut for want of memory; None if none was."""
    _too_large: list[int] = field(default_factory=list, init=False)
    """Pixels of the images that did not fit alone, and that none so small has fitted after."""

    @property
    def remarks(self) -> dict[str, int]:
        """What a record says of it; nothing where no batch was cut."""
        return {} if self.reduced_to is None else {"batch_reduced_to": self.reduced_to}

    def run(
        self, make: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], pixels: int
    ) -> list[R | None]:
        """What ``make`` gives for each item; None for one that does not fit even alone.

        Args:
            make: has no effect where it raises; may be called with parts of the items.
            items: of equal size.
            pixels: of each.
        """
        made = list[R | None]()
        while len(made) < len(items):
            left = items[len(made) :]
            part = left[: self._most(pixels)]
            if len(part) < len(left):
                self.reduced_to = min(self.reduced_to or len(part), len(part))
            done = self._tried(make, part)
            if done is not None:
                made += done
                self._learn(pixels)
            elif len(part) == 1:
                made.append(None)
                self._too_large.append(pixels)
            else:
                self._reduce(len(part) // 2 * pixels)
        return made

    def require_room(self) -> None:
        """Check that no image was left out for want of room that there is at other times.

        Raises:
            OSError: none has fitted since one was left out, and in this process either none
                has ever, or one as large.
        """
        largest = _largest.get((self.work, self.device), 0)
        for pixels in self._too_large:
            if not 0 < largest < pixels:
                _fitting.pop((self.work, self.device), None)  # learned in want, too
                raise OSError(
                    f"the device {self.device!r} must have room to {self.work} an image of "
                    f"{pixels} pixels, got none now; end what else fills it, lower "
                    "compute.shards_at_once or choose another compute.device, and run again"
                )

    def _learn(self, pixels: int) -> None:
        """Images of this size fit, and so the device is not full."""
        place = self.work, self.device
        _largest[place] = max(_largest.get(place, pixels), pixels)
        self._too_large = [size for size in self._too_large if size < pixels]

    def _most(self, pixels: int) -> int | None:
        """Items that fit; None as long as all did."""
        fitting = _fitting.get((self.work, self.device))
        return None if fitting is None else max(fitting // pixels, 1)

    def _reduce(self, pixels: int) -> None:
        place = self.work, self.device
        _fitting[place] = min(_fitting.get(place, pixels), pixels)

    def _tried(
        self, make: Callable[[Sequence[T]], Sequence[R]], part: Sequence[T]
    ) -> Sequence[R] | None:
        try:
            return make(part)
        except (RuntimeError, MemoryError) as error:
            if not _is_for_want_of_memory(error):
                raise
        # The error is gone by now, and its frames with all their tensors.
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return None


_fitting: dict[tuple[str, str], int] = {}
"""Pixels in the largest batch, by work and device, where there was no memory for more."""

_largest: dict[tuple[str, str], int] = {}
"""Pixels of the largest image that ever fitted, by work and device."""


def no_room(picture: Picture) -> str:
    """Why a picture is refused that no device memory is left for, even alone."""
    return f"out of memory on the device: {picture.member.width}×{picture.member.height}"


def _is_for_want_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _ALLOCATORS)
