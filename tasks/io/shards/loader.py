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
"""A window holds as many pixels as a batch of images of this size (512 × 512)."""


class Picture(NamedTuple):
    """A decoded image, or the reason why there is none."""

    member: Member
    pixels: Pixels | None
    reason: str | None


def windows(members: Iterable[Member], batch: int) -> Iterator[list[Member]]:
    """Consecutive members, up to four batches of small images, one of 512 × 512."""
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
    """The images, read in order by this thread and decoded for the threads of the pool."""
    futures = [
        pool.submit(_picture, member, data, limits) for member, data in read_members(store, members)
    ]
    return [future.result() for future in futures]


def equal_sizes(pictures: Sequence[Picture], batch: int) -> Iterator[list[Picture]]:
    """The decoded pictures in groups of one size, each at most a batch."""
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
