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


def hash_of(key: str, seed: int) -> bytes:
    """Return the hash by which a key is chosen, the same in every corpus: the lowest are."""
    return hashlib.sha256(f"select\0{seed}\0{key}".encode()).digest()


def by_shard(places: Iterable[Place]) -> dict[str, list[str]]:
    """Return the keys of images by their shards; both in the order in which they come."""
    shards: dict[str, list[str]] = {}
    for place in places:
        shards.setdefault(place.shard, []).append(place.key)
    return shards
