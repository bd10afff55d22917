"""Degraded images on their way to the restorer: read, decoded, and degraded where they are clean.

The noise of an image is seeded by its key, so it does not depend on the shard.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from dot_kernels.degradations import Degradation, degrade
from dot_kernels.padding import pad_by_reflection
from dot_kernels.sampling import Sides, degradable_sides
from tasks.io.draws import generator_of
from tasks.io.images import Limits, Raster
from tasks.io.images.pixels import to_tensor
from tasks.io.images.transparency import without_hidden
from tasks.io.shards import Member, read_sides
from tasks.io.shards.loader import Picture, load_pictures
from tasks.io.shards.sides import NONE, SideKind
from tasks.io.store import Store


class Degraded(NamedTuple):
    """An image to restore, or the reason why it cannot be."""

    member: Member
    sides: Mapping[SideKind, bytes]
    """What stands beside it."""
    image: Tensor | None
    """Float (3, h, w) on the CPU; noise may leave [0, 1]."""
    size: tuple[int, int]
    """Height and width of the restored image, of which more may be made, and cut off."""
    reason: str = ""
    raster: Raster | None = None
    """The image as it was decoded, for what its file says beside its pixels."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where degraded images come from."""

    store: Store
    limits: Limits
    degradations: tuple[Degradation, ...]
    """What clean images go through; none for images that are degraded already."""
    enlarged: Callable[[Sides], Sides]
    """Height and width of what becomes of an image of a height and width."""

    def load(self, window: Sequence[Member], pool: Executor) -> list[Degraded]:
        """Read images in this thread, decode and degrade them by way of the threads of a pool."""
        sides = read_sides(self.store, window)
        pictures = load_pictures(self.store, window, self.limits, pool)
        images = list(pool.map(self._degraded, pictures))
        return [
            Degraded(
                picture.member,
                sides.get(picture.member.key, NONE),
                image,
                self._size(picture),
                picture.reason or "",
                picture.raster,
            )
            for picture, image in zip(pictures, images, strict=True)
        ]

    def _size(self, picture: Picture) -> tuple[int, int]:
        """Return height and width of the restored image: the clean one's where there is one."""
        if picture.pixels is None:
            return 0, 0
        height, width = picture.pixels.shape[:2]
        return (height, width) if self.degradations else self.enlarged((height, width))

    def _degraded(self, picture: Picture) -> Tensor | None:
        if picture.raster is None:
            return None
        image = to_tensor([without_hidden(picture.raster)])[0]
        return degraded_from(image, self.degradations, picture.member.key)


def degraded_from(image: Tensor, degradations: Sequence[Degradation], key: str) -> Tensor:
    """Return an image after degradations, in noise that its key draws.

    If an image of its height and width cannot be degraded, as where a factor of downscaling does
    not divide them, it is continued by reflection before.

    Args:
        image: clean image (3, h, w), float in [0, 1].
        degradations: applied one after the other; none leave it as it is.
        key: of the image.
    """
    if not degradations:
        return image
    sides = degradable_sides(degradations, (image.shape[1], image.shape[2]))
    padded = pad_by_reflection(image[None], *sides)[0]
    return degrade(padded, degradations, generator_of("degrade", 0, key))
