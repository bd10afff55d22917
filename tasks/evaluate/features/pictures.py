"""Pictures of a shard with their features by one or more networks: each is decoded once."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tasks.io.images import Limits
from tasks.io.images.pixels import to_bytes, to_tensor
from tasks.io.images.transparency import opacity, over_white
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import read_ahead
from tasks.io.networks.batches import Batches, no_room
from tasks.io.networks.features.extractors import SeenBy, see
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.large_images import in_bytes
from tasks.io.shards import Member
from tasks.io.shards.loader import LARGEST_IN_MEMORY, Picture, equal_sizes, load_pictures, windows
from tasks.io.store import Store
from tasks.jobs.stopwatch import Stopwatch

Window = Sequence[tuple[Picture, SeenBy]]
"""Pictures in the order of keys, each with what networks say of it: nothing if it is refused."""


def pictures_with_features(
    store: Store,
    members: Sequence[Member],
    extractors: Mapping[str, Extractor],
    *,
    batch: int,
    limits: Limits,
    batches: Batches,
    watch: Stopwatch,
) -> Iterator[Window]:
    """Yield the pictures of a shard with what each network says of them.

    Args:
        store: where the shard lies.
        members: its pictures.
        extractors: the networks, by their names.
        batch: pictures of one size that they see at once, at most.
        limits: what a picture may have.
        batches: halves batches that do not fit into the device's memory.
        watch: counts the time.
    """
    with ThreadPoolExecutor(cores()) as pool:
        loaded = read_ahead(
            lambda window: load_pictures(store, window, limits, pool), windows(members, batch)
        )
        for pictures in watch.each("read", loaded):
            rows = dict[str, tuple[Picture, SeenBy]]()
            for group in equal_sizes(pictures, batch):
                member = group[0].member
                with watch.lap("metrics"):
                    run = partial(_seen, extractors)
                    found = batches.run(run, group, member.width * member.height)
                for picture, seen in zip(group, found, strict=True):
                    lost = picture.refused(no_room(picture)) if seen is None else picture
                    rows[picture.member.key] = lost, seen or {}
            yield [rows.get(picture.member.key, (picture, {})) for picture in pictures]


def _seen(extractors: Mapping[str, Extractor], group: Sequence[Picture]) -> list[SeenBy]:
    """What each network says of pictures of one size, of those that it is not too small for."""
    rasters = [picture.raster for picture in group if picture.raster is not None]
    if rasters[0].height * rasters[0].width > LARGEST_IN_MEMORY:
        parts = [in_bytes(each.pixels, each) for each in rasters]
    else:
        images = over_white(to_tensor([each.pixels for each in rasters]), opacity(rasters))
        parts = [to_bytes(images)]
    rows: list[SeenBy] = [{} for _ in rasters]
    for name, extractor in extractors.items():
        found = (one for part in parts for one in see(extractor, part) or ())
        for row, one in zip(rows, found, strict=False):
            row[name] = one
    return rows
