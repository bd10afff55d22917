"""Batches that fit into a device's memory: sizes that do not fit are halved, and remembered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch

from tasks.io.shards import Member

T = TypeVar("T")
R = TypeVar("R")

_ALLOCATORS = ("DefaultCPUAllocator", "not enough memory", "_ALLOC_FAILED", "out of memory")
"""Parts of a RuntimeError's text by which torch tells that memory could not be allocated."""


@dataclass
class FittingSizes:
    """What is known of the sizes that fit into one device's memory for one kind of work."""

    batch: int | None = None
    """Pixels of the largest batch to try; None as long as every batch has fitted."""
    image: int = 0
    """Pixels of the largest image that has ever fitted; 0 as long as none has."""


@dataclass(eq=False)
class MemoryLimits:
    """What a process has learned of the memory of its devices, by kind of work and device."""

    _sizes: dict[tuple[str, str], FittingSizes] = field(default_factory=dict, init=False)

    def sizes(self, work: str, device: str) -> FittingSizes:
        """Return what is known so far; whoever learns more changes it in place."""
        return self._sizes.setdefault((work, device), FittingSizes())

    def forget(self) -> None:
        """Forget everything, as in a new process."""
        self._sizes.clear()


MEMORY_LIMITS = MemoryLimits()
"""What this process has learned. All ``Batches`` share it: a size that does not fit would fail
again and again in every shard, and each failure takes the time of an image."""


@dataclass
class Batches:
    """Runs work in batches that fit into the memory of a device, for one shard.

    A batch that does not fit is halved until one does. The size that fits is remembered for the
    same work on this device, for all shards of the process.

    An image that does not fit even alone is too large, if others fit. If none does, something
    else fills the device for now, and ``require_room`` raises.
    """

    work: str
    """Kind of work, a verb; what fits is learned for each kind."""
    device: str
    """Such as cpu or cuda:1."""
    limits: MemoryLimits = field(default=MEMORY_LIMITS, repr=False)
    """Where it is remembered what fits."""
    reduced_to: int | None = field(default=None, init=False)
    """Images in the smallest batch that was cut for want of memory; None if none was."""
    _too_large: list[int] = field(default_factory=list, init=False)
    """Pixels of images that did not fit alone, if nothing as large has fitted since."""

    @property
    def remarks(self) -> dict[str, int]:
        """What the shard's record says of it; empty where no batch was cut."""
        return {} if self.reduced_to is None else {"batch_reduced_to": self.reduced_to}

    def run(
        self, make: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], pixels: int
    ) -> list[R | None]:
        """Return what ``make`` gives for each item; None for one that does not fit even alone.

        Args:
            make: work on a batch, which has no effect if it raises. It is called with parts of
                the items, each in turn until it fits.
            items: images of equal size, or what stands for them.
            pixels: of one item.
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
                self._learn_image(pixels)
            elif len(part) == 1:
                made.append(None)
                self._too_large.append(pixels)
            else:
                self._learn_batch(len(part) // 2 * pixels)
        return made

    def require_room(self) -> None:
        """Check that images were left out because they are too large, not for a full device.

        Raises:
            OSError: an image was left out, and nothing as large has fitted since. Either no
                image has ever fitted in this process, or one of at least this size has.
        """
        for pixels in self._too_large:
            if not 0 < self._known.image < pixels:
                self._known.batch = None  # it was learned while the device was full, too
                raise OSError(
                    f"the device {self.device!r} must have room to {self.work} an image of "
                    f"{pixels} pixels, got none now; end what else fills it, lower "
                    "compute.shards_at_once or choose another compute.device, and run again"
                )

    @property
    def _known(self) -> FittingSizes:
        return self.limits.sizes(self.work, self.device)

    def _most(self, pixels: int) -> int | None:
        """Return how many items fit into a batch; None as long as all did."""
        batch = self._known.batch
        return None if batch is None else max(batch // pixels, 1)

    def _learn_image(self, pixels: int) -> None:
        """Remember that images of this size fit, so that the device is not full."""
        self._known.image = max(self._known.image, pixels)
        self._too_large = [size for size in self._too_large if size < pixels]

    def _learn_batch(self, pixels: int) -> None:
        """Remember that a batch must have at most so many pixels."""
        known = self._known
        known.batch = pixels if known.batch is None else min(known.batch, pixels)

    def _tried(
        self, make: Callable[[Sequence[T]], Sequence[R]], part: Sequence[T]
    ) -> Sequence[R] | None:
        """Return what ``make`` gives for a batch, or None if it does not fit into memory."""
        try:
            return make(part)
        except (RuntimeError, MemoryError) as error:
            if not is_for_want_of_memory(error):
                raise
        # The error is gone by now, and its frames with all their tensors.
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
        return None


class OfMember(Protocol):
    """What stands for an image of a shard, as a picture does."""

    @property
    def member(self) -> Member:
        """The image's place in its shard."""


def no_room(image: OfMember) -> str:
    """Return why an image is refused that does not fit into the device's memory even alone."""
    return f"out of memory on the device: {image.member.width}×{image.member.height}"


def is_for_want_of_memory(error: Exception) -> bool:
    """Return whether an error tells that memory could not be allocated."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _ALLOCATORS)
