"""Images of a shard on their way to the network: read ahead, decoded in parallel, grouped.

While the network works on one window of images, the next one is read and decoded, by
other threads and child processes, and no more than two windows are in memory, whatever
the size of the shard.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from tasks.io.errors import ImageRefused
from tasks.io.images import Form, Limits, Pixels, Raster
from tasks.io.images.decoder_pool import decode, decode_written
from tasks.io.machine.scratch import on_disk
from tasks.io.shards.reader import read_members
from tasks.io.shards.shard import Member
from tasks.io.store import Store

PIXELS_PER_IMAGE = 1 << 18
"""Pixels of a typical image (512 × 512): a window holds at most a batch of as many pixels."""

LARGEST_IN_MEMORY = 1 << 22
"""Pixels of the largest image that waits in memory for its turn; larger ones wait on disk."""


class Picture(NamedTuple):
    """A decoded image, or the reason why it could not be decoded."""

    member: Member
    raster: Raster | None
    reason: str | None

    @property
    def pixels(self) -> Pixels | None:
        """Pixels (h, w, 3) of the image, if there is one."""
        return None if self.raster is None else self.raster.pixels

    def refused(self, reason: str) -> "Picture":
        """Return the picture without its image, and why it has none."""
        return Picture(self.member, None, reason)


def windows(members: Iterable[Member], batch: int) -> Iterator[list[Member]]:
    """Yield consecutive members in windows: four batches of small images, or one of 512 × 512.

    An image that is larger than a whole window is one by itself.
    """
    window: list[Member] = []
    pixels = 0
    for member in members:
        pixels += member.width * member.height
        if window and (pixels > batch * PIXELS_PER_IMAGE or len(window) >= 4 * batch):
            yield window
            window, pixels = [], member.width * member.height
        window.append(member)
    if window:
        yield window


def load_pictures(
    store: Store,
    members: Sequence[Member],
    limits: Limits,
    pool: Executor,
    form: Form | None = None,
) -> list[Picture]:
    """Read images in this thread, and decode them by way of the threads of a pool.

    Args:
        store: that they lie in.
        members: where.
        limits: of their bytes and pixels.
        pool: has the threads.
        form: in which they were written here, which may be one that only a plug-in reads.

    Returns:
        The images in the order of members, those that are refused with their reason.

    Raises:
        ShardDamaged: a tar is not there, or does not hold what its index says.
        OSError: no image can be decoded here; see ``decoder_pool.decode``.
    """
    futures = [
        pool.submit(_picture, member, data, limits, form)
        for member, data in read_members(store, members)
    ]
    return [future.result() for future in futures]


def equal_sizes(pictures: Sequence[Picture], batch: int) -> Iterator[list[Picture]]:
    """Yield the decoded pictures in groups of one kind, each at most a batch.

    Those of one kind have equal height and width, depth and channels (``Raster.kind``).
    """
    groups: dict[tuple[Any, ...], list[Picture]] = {}
    for picture in pictures:
        if picture.raster is not None:
            groups.setdefault(picture.raster.kind, []).append(picture)
    for group in groups.values():
        member = group[0].member
        step = most_together(member.width * member.height, batch)
        for start in range(0, len(group), step):
            yield group[start : start + step]


def most_together(pixels: int, batch: int) -> int:
    """Return how many images of so many pixels go together, a batch at most.

    Of large images it is fewer: at most four times the pixels of a batch of 512 × 512, but always
    one image.
    """
    return max(1, min(batch, batch * 4 * PIXELS_PER_IMAGE // pixels))


def _picture(member: Member, data: bytes, limits: Limits, form: Form | None) -> Picture:
    try:
        raster = decode(data, limits) if form is None else decode_written(form, data, limits)
        return Picture(member, _kept(raster), None)
    except ImageRefused as refusal:
        return Picture(member, None, str(refusal))


def _kept(raster: Raster) -> Raster:
    """Return an image as it waits for its turn: the pixels of a large one on disk."""
    if raster.height * raster.width <= LARGEST_IN_MEMORY:
        return raster
    return raster.showing(on_disk(raster.pixels))
