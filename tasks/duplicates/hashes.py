"""Perceptual hashes of the images of a data set, decoded by all cores."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dot_kernels.perceptual_hash import perceptual_hash
from tasks.io.images import Limits, Raster
from tasks.io.images.conversion.shown import Shown
from tasks.io.images.pixels import to_tensor
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.shards.loader import load_pictures, windows
from tasks.io.workspace import Workspace
from tasks.jobs.progress import advance

_BATCH = 16
"""Typical images that are decoded at a time."""

_SIDE = 256
"""About the pixels along the shorter side of an image that its hash is made of."""


class Hashed(NamedTuple):
    """The hash of an image."""

    dataset: str
    key: str
    bits: int


def hashed_images(
    workspace: Workspace,
    dataset: str,
    limits: Limits,
    only: Mapping[str, Collection[str]] | None = None,
) -> Iterator[Hashed]:
    """Yield the hash of every image of a data set; those that cannot be decoded have none.

    Args:
        workspace: of the data set.
        dataset: its name.
        limits: of pixels and bytes of an image.
        only: keys of the images that are wanted, by shard; all by default.

    Raises:
        StepMissing: the data set has not been sharded.
        ShardDamaged: a tar is not there, or does not hold what its index says.
    """
    with ThreadPoolExecutor(cores()) as pool:
        for shard in workspace.shards(dataset) if only is None else only:
            members = workspace.members(dataset, shard)
            if only is not None:
                wanted = set(only[shard])
                members = [member for member in members if member.key in wanted]
            loaded = read_ahead(
                lambda window: load_pictures(workspace.store, window, limits, pool),
                windows(members, _BATCH),
            )
            for pictures in loaded:
                for picture in pictures:
                    advance(1)
                    if picture.raster is not None:
                        yield Hashed(dataset, picture.member.key, _hash(picture.raster))


def _hash(raster: Raster) -> int:
    """Return the hash of an image as a page shows it, of so few of its pixels that it costs little.

    A coarse wave is a mean over many of them, so that it makes no difference which are taken.
    """
    step = max(1, min(raster.height, raster.width) // _SIDE)
    alpha = None if raster.alpha is None else raster.alpha[step // 2 :: step, step // 2 :: step]
    pixels = raster.pixels[step // 2 :: step, step // 2 :: step]
    few = dataclasses.replace(raster, pixels=pixels, alpha=alpha)
    return int(perceptual_hash(to_tensor([Shown.of(few).pixels])))
