"""Images of a shard on their way to the network: read ahead, decoded in parallel, grouped.

While the network works on one window of images, the next one is read and decoded, by
other threads and child processes, and no more than two windows are in memory, whatever
the size of the shard.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, Pixels
from tasks.io.images.decoder_pool import decode
from tasks.io.shards.reader import read_members
from tasks.io.shards.shard import Member
from tasks.io.store import Store

PIXELS_PER_IMAGE = 1 << 18
"""Pixels of a typical image (512 × 512): a window holds at most a batch of as many pixels."""


class Picture(NamedTuple):
    """A decoded image (h, w, 3), or the reason why it could not be decoded."""

    member: Member
    pixels: Pixels | None
    reason: str | None


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
    store: Store, members: Sequence[Member], limits: Limits, pool: Executor
) -> list[Picture]:
    """Read images in this thread, and decode them by way of the threads of a pool.

    Returns:
        The images in the order of members, those that are refused with their reason.

    Raises:
        ShardDamaged: a tar is not there, or does not hold what its index says.
        OSError: no image can be decoded here; see ``decoder_pool.decode``.
    """
    futures = [
        pool.submit(_picture, member, data, limits) for member, data in read_members(store, members)
    ]
    return [future.result() for future in futures]


def equal_sizes(pictures: Sequence[Picture], batch: int) -> Iterator[list[Picture]]:
    """Yield the decoded pictures in groups of equal height and width, each at most a batch.

    Groups of large images are smaller: they have at most four times the pixels of a batch of
    512 × 512, but always one image.
    """
    groups: dict[tuple[int, ...], list[Picture]] = {}
    for picture in pictures:
        if picture.pixels is not None:
            groups.setdefault(picture.pixels.shape, []).append(picture)
    for shape, group in groups.items():
        largest = batch * 4 * PIXELS_PER_IMAGE // (shape[0] * shape[1])
        step = max(1, min(batch, largest))
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _picture(member: Member, data: bytes, limits: Limits) -> Picture:
    try:
        return Picture(member, decode(data, limits), None)
    except ImageRefused as refusal:
        return Picture(member, None, str(refusal))
