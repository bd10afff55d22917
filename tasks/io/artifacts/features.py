"""Features of images: a Parquet table with a row for each, and sums of class probabilities."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from dot_kernels.metrics import ClassSums, FeatureStatistics
from tasks.io.artifacts.parquet import opened, present, whole, writer
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.draws import draws_of
from tasks.io.store import Store

_CLASS_SUMS = "class sums"

BLOCK = 4096
"""Images whose statistics are taken together. Blocks are cut in the order of keys, whatever the
shards, so that sums of floats over the same tables do not depend on how images lie in them."""


class FeatureWriter:
    """Writes a table of features as they come, so that they never lie in memory all at once.

    Args:
        path: local file to write.
        dimension: features of one image.
        network: that computed them, for the table's metadata.
    """

    def __init__(self, path: Path, dimension: int, network: str) -> None:
        kind = pa.list_(pa.float32(), dimension)
        meaning = {"meaning": "output of the network in the file's metadata", "unit": "1"}
        self._schema = pa.schema([pa.field("key", pa.string()), pa.field("features", kind)])
        self._schema = self._schema.set(1, self._schema.field(1).with_metadata(meaning))
        self._schema = self._schema.with_metadata({"network": network})
        # Compression gains nothing on floats without a pattern, and costs time.
        self._writer = writer(path, self._schema, compression="none", use_dictionary=False)

    def add(self, keys: Sequence[str], rows: Sequence[Tensor]) -> None:
        """Append images.

        Args:
            keys: of the images, in order.
            rows: features (d,) float32 for each key.
        """
        if not keys:
            return
        flat = pa.array(torch.stack(list(rows)).flatten().numpy())
        columns = [
            pa.array(list(keys), pa.string()),
            pa.FixedSizeListArray.from_arrays(flat, type=self._schema.field(1).type),
        ]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write the end of the table; closing again does nothing."""
        self._writer.close()


def read_statistics(
    store: Store, paths: Iterable[str], capacity: int, left_out: Collection[str] = ()
) -> FeatureStatistics | None:
    """Return the statistics of all features in some tables; None if they hold no image.

    Args:
        store: where the tables lie.
        paths: of the tables, in the order of their keys.
        capacity: images in the sample for kernel distance, precision and recall.
        left_out: keys of images that do not count.

    Raises:
        ArtifactDamaged: a table is not there, or not whole.
    """
    total = _Total(capacity)
    for keys, rows in _batches(store, paths):
        total.add(*_chosen(keys, rows, [key not in left_out for key in keys]))
    return total.end()


class Apart(NamedTuple):
    """Statistics of images, those that an operator was fitted on apart."""

    others: FeatureStatistics | None
    """Of all others; None if there is none."""
    fitted: FeatureStatistics | None
    """Of the images of the fit; None if there is none."""
    draws: Tensor
    """Draws (n,) int64 of all images, in the order in which they came."""


def read_apart(store: Store, paths: Iterable[str], capacity: int, fitted: Collection[str]) -> Apart:
    """Return the statistics of all features in some tables, those of images of the fit apart.

    ``fitted`` are the keys of these. Other arguments, and errors, are those of
    ``read_statistics``.
    """
    others, of_the_fit, draws = _Total(capacity), _Total(capacity), [draws_of([])]
    for keys, rows in _batches(store, paths):
        is_fitted = [key in fitted for key in keys]
        of_the_fit.add(*_chosen(keys, rows, is_fitted))
        others.add(*_chosen(keys, rows, [not each for each in is_fitted]))
        draws.append(draws_of(keys))
    return Apart(others.end(), of_the_fit.end(), torch.cat(draws))


def save_class_sums(sums: ClassSums, path: Path) -> None:
    """Write sums of class probabilities to a local file."""
    tensors = {
        "counts": sums.counts,
        "probabilities": sums.probabilities,
        "negative_entropies": sums.negative_entropies,
    }
    save_tensors(tensors, path, _CLASS_SUMS)


def read_class_sums(store: Store, paths: Iterable[str]) -> ClassSums | None:
    """Return the sums of some files together; None if there are no files.

    Raises:
        FileNotFoundError: a file is not there.
        ArtifactDamaged: a file does not hold what was written.
    """
    total: ClassSums | None = None
    for path in paths:
        with store.fetched(path) as local:
            part = ClassSums(**load_tensors(local, _CLASS_SUMS, path)[0])
        total = part if total is None else total + part
    return total


def _batches(store: Store, paths: Iterable[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Yield tables piece by piece: n keys, and features (n, d) float32."""
    for path in paths:
        with (
            present(path),
            store.fetched(path) as local,
            whole(path),
            opened(local) as table,
        ):
            for batch in table.iter_batches(BLOCK):
                rows = batch.column("features")
                flat = rows.flatten().to_numpy(zero_copy_only=False)
                shaped = np.array(flat, dtype=np.float32).reshape(len(rows), -1)
                yield batch.column("key").to_pylist(), torch.from_numpy(shaped)


def _chosen(keys: list[str], rows: Tensor, chosen: Sequence[bool]) -> tuple[list[str], Tensor]:
    """Return the keys and rows that are chosen, in their order."""
    places = [place for place, is_chosen in enumerate(chosen) if is_chosen]
    return (keys, rows) if len(places) == len(keys) else ([keys[p] for p in places], rows[places])


class _Total:
    """Statistics of features as they come, taken in pieces of ``BLOCK`` images."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._keys, self._parts = list[str](), list[Tensor]()
        self._total: FeatureStatistics | None = None

    def add(self, keys: Sequence[str], rows: Tensor) -> None:
        """Take in images: n keys, and features (n, d)."""
        self._keys += keys
        self._parts.append(rows)
        while len(self._keys) >= BLOCK:
            whole = torch.cat(self._parts)
            self._take(self._keys[:BLOCK], whole[:BLOCK])
            self._keys, self._parts = self._keys[BLOCK:], [whole[BLOCK:]]

    def end(self) -> FeatureStatistics | None:
        """Return the statistics of all; None of no image."""
        if self._keys:
            self._take(self._keys, torch.cat(self._parts))
            self._keys, self._parts = [], []
        return self._total

    def _take(self, keys: Sequence[str], rows: Tensor) -> None:
        part = FeatureStatistics.of(rows, draws_of(keys), capacity=self._capacity)
        self._total = part if self._total is None else self._total + part
