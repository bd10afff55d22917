"""Samples of images, drawn by a hash of their keys."""

import hashlib
import heapq
from collections.abc import Iterable

from tasks.io.catalogue.catalogue import Place


def sample(places: Iterable[tuple[str, str]], images: int, seed: int) -> list[Place]:
    """Return so many images, or all if there are fewer, chosen by a hash of their keys.

    They come in the order of keys. Of the same keys the same are chosen, whatever their shards.

    Args:
        places: key and shard of every image.
        images: how many to choose.
        seed: of the choice.
    """
    named = map(Place._make, places)
    return sorted(heapq.nsmallest(images, named, key=lambda place: hash_of(place.key, seed)))


def disjoint_samples(
    source: Iterable[tuple[str, str]], target: Iterable[tuple[str, str]], images: int, seed: int
) -> tuple[list[Place], list[Place]]:
    """Return so many images of two data sets without a key in common, or as many as there are.

    The keys of both are gone through in the order of their hashes; one that both have goes to
    the side with fewer images, to the target if neither has. Both come in the order of keys.

    Args:
        source: key and shard of every image.
        target: the same.
        images: how many to choose of each.
        seed: of the choice.
    """
    # The first images of either side's 2 × images that the other does not take are enough.
    found = [
        {place.key: place for place in sample(places, 2 * images, seed)}
        for places in (source, target)
    ]
    chosen: tuple[list[Place], list[Place]] = ([], [])
    for key in sorted(found[0].keys() | found[1].keys(), key=lambda key: hash_of(key, seed)):
        sides = [side for side in (1, 0) if key in found[side] and len(chosen[side]) < images]
        if sides:
            side = min(sides, key=lambda side: len(chosen[side]))
            chosen[side].append(found[side][key])
    return sorted(chosen[0]), sorted(chosen[1])


def hash_of(key: str, seed: int) -> bytes:
    """Return the hash by which a key is chosen, the same in every corpus: the lowest are."""
    return hashlib.sha256(f"select\0{seed}\0{key}".encode()).digest()


def by_shard(places: Iterable[Place]) -> dict[str, list[str]]:
    """Return the keys of images by their shards; both in the order in which they come."""
    shards: dict[str, list[str]] = {}
    for place in places:
        shards.setdefault(place.shard, []).append(place.key)
    return shards
