"""Windows of degraded images go through a restorer, in batches that fit into its device's memory.

Whatever a restorer does with one image of a batch, the others are as they are without it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.sampling import Sides, sides_before
from tasks.io.errors import ImageRefused
from tasks.io.images import Pixels
from tasks.io.images.pixels import finite, to_pixels
from tasks.io.networks.batches import Batches, is_for_want_of_memory, no_room
from tasks.io.networks.loaded_restorers import LoadedRestorer
from tasks.io.shards.loader import most_together
from tasks.restore.degraded import Degraded

NOT_FINITE = "restorer's output is not finite: check its checkpoint"

_FAULTS = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, AssertionError)
"""What a restorer may raise for an image that it cannot restore."""


@dataclass(kw_only=True)
class Restoration:
    """Restores the images of one shard."""

    restorer: LoadedRestorer
    degradations: tuple[Degradation, ...]
    """What the images went through, as far as it is known."""
    batch: int
    """Images that are restored together, at most."""
    batches: Batches
    most_pixels: int
    """Pixels that a restored image may have."""
    pool: Executor
    """Runs a restorer that takes no batches, on all cores."""
    seams: SeamError = field(default_factory=SeamError, init=False)
    """The error at the seams of tiles, over all images that were blended of such."""

    def enlarged(self, sides: Sides) -> Sides:
        """Return height and width of what becomes of an image of a height and width."""
        if (scale := self.restorer.scale) is not None:
            return sides[0] * scale, sides[1] * scale
        return sides_before(self.degradations, sides)

    def restore(self, window: Sequence[Degraded]) -> list[Pixels | str]:
        """Return for each image its pixels when it is restored, or the reason why it is not."""
        made: dict[int, Pixels | str] = {
            number: reason for number, one in enumerate(window) if (reason := self._refusal(one))
        }
        left = [number for number in range(len(window)) if number not in made]
        if self.restorer.takes_batches:
            for numbers in self._of_equal_size(window, left):
                made |= self._batch([(number, window[number]) for number in numbers])
        else:
            alone = self.pool.map(lambda number: self._together([window[number]])[0], left)
            made |= dict(zip(left, alone, strict=True))
        return [made[number] for number in range(len(window))]

    def _refusal(self, one: Degraded) -> str:
        """Return why an image is not restored, known before; empty where nothing is."""
        height, width = one.size
        if one.image is not None and height * width > self.most_pixels:
            return f"too large when restored: {width}×{height}, limit {self.most_pixels} pixels"
        return one.reason

    def _of_equal_size(
        self, window: Sequence[Degraded], numbers: Sequence[int]
    ) -> Iterator[list[int]]:
        """Yield the numbers of images of equal size, each time at most a batch."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for number in numbers:
            image = window[number].image
            groups.setdefault(() if image is None else tuple(image.shape), []).append(number)
        for group in groups.values():
            height, width = window[group[0]].size
            step = most_together(height * width, self.batch)
            for start in range(0, len(group), step):
                yield group[start : start + step]

    def _batch(self, numbered: Sequence[tuple[int, Degraded]]) -> dict[int, Pixels | str]:
        """Return what becomes of images of equal size, in as many batches as they need."""
        images = [one for _, one in numbered]
        made = self.batches.run(self._together, images, images[0].size[0] * images[0].size[1])
        return {
            number: no_room(one) if each is None else each
            for (number, one), each in zip(numbered, made, strict=True)
        }

    def _together(self, images: Sequence[Degraded]) -> list[Pixels | str]:
        """Return what becomes of images of equal size in one batch.

        If it fails, each is restored alone, and those are refused that fail alone.

        Raises:
            RuntimeError: the device has no memory for the batch, or has failed itself.
        """
        try:
            return self._made(images)
        except ImageRefused as refusal:
            return [str(refusal)] * len(images)
        except _FAULTS as error:
            if isinstance(error, torch.AcceleratorError) or is_for_want_of_memory(error):
                raise
            if len(images) == 1:
                said = str(error).strip().splitlines() or [type(error).__name__]
                return [f"restorer fails: {said[0]}"]
        return [made for one in images for made in self._together([one])]

    def _made(self, images: Sequence[Degraded]) -> list[Pixels | str]:
        """Return what the restorer makes of images of equal size.

        Raises:
            ValueError: images of another size, or another number of them.
        """
        stacked = torch.stack([one.image for one in images if one.image is not None])
        keys, seams = [one.member.key for one in images], list[SeamError]()
        sides = [one.sides for one in images]
        restored = self.restorer.restore(stacked, self.degradations, keys, seams.append, sides)
        height, width = self.enlarged((stacked.shape[2], stacked.shape[3]))
        if tuple(restored.shape) != (len(images), 3, height, width):
            shape = "×".join(map(str, restored.shape))
            raise ValueError(
                f"its output for {len(images)} image(s) of {height}×{width} pixels is {shape}"
            )
        self.seams = sum(seams, self.seams)
        return [
            _as_pixels(one, image) if is_finite else NOT_FINITE
            for one, image, is_finite in zip(images, restored, finite(restored), strict=True)
        ]


def _as_pixels(degraded: Degraded, restored: Tensor) -> Pixels:
    """Return a restored image in the size and at the depth that it is to have; grey stays grey."""
    height, width = degraded.size
    image, raster = restored[:, :height, :width], degraded.raster
    if raster is None:
        return to_pixels(image)
    if raster.is_grey:
        image = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return to_pixels(image, raster.depth)
