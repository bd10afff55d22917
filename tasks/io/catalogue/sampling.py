"""Samples of images, drawn by a hash of their keys."""

import hashlib
import heapq
from collections.abc import Iterable

from tasks.io.catalogue.catalogue import Place


def sample(places: Iterable[tuple[str, str]], images: int, seed: int) -> list[Place]:
    """So many images, or all, drawn by a hash of their keys; in the order of keys."""
    named = map(Place._make, places)
    return sorted(heapq.nsmallest(images, named, key=lambda place: _draw(place.key, seed)))


def _draw(key: str, seed: int) -> bytes:
    """A number that belongs to a key, the same in every corpus."""
    return hashlib.sha256(f"select\0{seed}\0{key}".encode()).digest()


def by_shard(places: Iterable[Place]) -> dict[str, list[str]]:
    """The keys of images under their shards, both in order."""
    shards: dict[str, list[str]] = {}
    for place in places:
        shards.setdefault(place.shard, []).append(place.key)
    return shards
