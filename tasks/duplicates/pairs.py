"""Which images are nearly the same, in a table and in words."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch

from dot_kernels.perceptual_hash import RADIUS, near_duplicates
from tasks.duplicates.hashes import Hashed
from tasks.io.artifacts.parquet import write_table
from tasks.io.store import Store

_NAMED = 5
"""Pairs that a sentence names."""

_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("key", pa.string()),
        ("other_dataset", pa.string()),
        ("other_key", pa.string()),
        ("differing_bits", pa.int32()),
    ]
)


class Pair(NamedTuple):
    """Two images that show nearly the same."""

    first: Hashed
    second: Hashed

    @property
    def differing_bits(self) -> int:
        """Bits in which their hashes differ, of 63; 0 for the same picture."""
        return (self.first.bits ^ self.second.bits).bit_count()


def near_duplicate_pairs(images: Iterable[Hashed], radius: int = RADIUS) -> list[Pair]:
    """Return the pairs of images that are nearly the same, in the order of the images.

    Images of the same key in two data sets are none: they are one image, or one and what was made
    of it.

    Args:
        images: hashed; all are compared with all, so a million take hours.
        radius: bits in which hashes may differ.
    """
    listed = list(images)
    found = near_duplicates(torch.tensor([each.bits for each in listed], dtype=torch.int64), radius)
    pairs = (Pair(listed[first], listed[second]) for first, second in found.tolist())
    return [pair for pair in pairs if pair.first.key != pair.second.key]


def within(pairs: Iterable[Pair], dataset: str) -> list[Pair]:
    """Return the pairs of which both images are of a data set."""
    return [pair for pair in pairs if pair.first.dataset == pair.second.dataset == dataset]


def across(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the pairs of images of two data sets."""
    return [pair for pair in pairs if pair.first.dataset != pair.second.dataset]


def in_words(pairs: Sequence[Pair], images: int, of: str) -> str:
    """Return how many images have a near-duplicate, and which the first are.

    Args:
        pairs: those of these images; there are some.
        images: that were looked at.
        of: what they are the images of, as in 'the fit'.
    """
    concerned = {(each.dataset, each.key) for pair in pairs for each in pair}
    return (
        f"{len(concerned)} of {images} images of {of} show nearly the same as another of them: "
        f"{named(pairs)}"
    )


def named(pairs: Sequence[Pair]) -> str:
    """Return the keys of the first pairs, and how many there are beside them."""
    keys = ", ".join(f"{pair.first.key} and {pair.second.key}" for pair in pairs[:_NAMED])
    return keys if len(pairs) <= _NAMED else f"{keys}, and {len(pairs) - _NAMED} pairs more"


def write_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """Write a row for every pair to a local Parquet file, all of it or nothing."""
    rows = [
        {
            "dataset": pair.first.dataset,
            "key": pair.first.key,
            "other_dataset": pair.second.dataset,
            "other_key": pair.second.key,
            "differing_bits": pair.differing_bits,
        }
        for pair in pairs
    ]
    with Store(str(path.absolute().parent)).publish(path.name) as aside:
        write_table(pa.Table.from_pylist(rows, _SCHEMA), aside)
