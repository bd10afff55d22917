"""Leaves: runs of shards of a large data set, whose features one task each adds up.

A leaf ends at a shard or not by a hash of that shard's name, in proportion to its images. So a
shard that comes or goes changes the leaf that it is in, and at most the one beside it, whatever
comes before; all others are as they were, and what they were added up to stands. Files are divided
so by content-defined chunking (Muthitacharoen, Chen and Mazières, "A Low-bandwidth Network File
System", SOSP 2001).
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

IMAGES = 65_536
"""Images of a leaf in the mean, at least. Up to as many there are no leaves: one task reads their
features, 0.5 GB of 2,048 features each, in less than a minute."""

MOST = 64
"""Leaves that are expected of a data set at most: of more images, each has more."""

_BITS = 64


class Leaf(NamedTuple):
    """A run of shards."""

    name: str
    """That of its first shard."""
    shards: tuple[str, ...]
    """Names of the shards, in order."""
    images: int
    """How many images they accepted."""


def leaves_of(shards: Mapping[str, int]) -> list[Leaf]:
    """Return the leaves of a data set, in the order of its shards; none of a small one.

    Args:
        shards: how many images each has, by its name, in order.
    """
    images = sum(shards.values())
    if images <= IMAGES:
        return []
    size = IMAGES
    while images > MOST * size:
        size *= 2
    found, names = list[Leaf](), list[str]()
    for shard, count in shards.items():
        names.append(shard)
        if _draw(shard) * size < count << _BITS:
            found.append(_leaf(names, shards))
            names = []
    return [*found, _leaf(names, shards)] if names else found


def _leaf(names: list[str], shards: Mapping[str, int]) -> Leaf:
    return Leaf(names[0], tuple(names), sum(shards[name] for name in names))


def _draw(shard: str) -> int:
    """Return a number below 2⁶⁴ that looks random and is always the same for a name."""
    return int.from_bytes(hashlib.sha256(shard.encode()).digest()[: _BITS // 8], "big")
