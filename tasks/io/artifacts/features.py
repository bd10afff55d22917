"""Features of images: a Parquet table with a row for each, and sums of class probabilities."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

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
shards, so that sums of floats do not depend on them."""


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
    total: FeatureStatistics | None = None
    for keys, rows in _blocks(_kept(_batches(store, paths), left_out)):
        part = FeatureStatistics.of(rows, draws_of(keys), capacity=capacity)
        total = part if total is None else total + part
    return total


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


def _kept(
    batches: Iterable[tuple[list[str], Tensor]], left_out: Collection[str]
) -> Iterator[tuple[list[str], Tensor]]:
    """Yield the same rows without those of some keys."""
    for keys, rows in batches:
        places = [place for place, key in enumerate(keys) if key not in left_out]
        if len(places) == len(keys):
            yield keys, rows
        else:
            yield [keys[place] for place in places], rows[places]


def _blocks(
    batches: Iterable[tuple[list[str], Tensor]],
) -> Iterator[tuple[list[str], Tensor]]:
    """Yield the same rows in pieces of ``BLOCK``, of which the last may be shorter."""
    keys, parts = list[str](), list[Tensor]()
    for new_keys, rows in batches:
        keys, parts = keys + new_keys, [*parts, rows]
        while len(keys) >= BLOCK:
            whole = torch.cat(parts)
            yield keys[:BLOCK], whole[:BLOCK]
            keys, parts = keys[BLOCK:], [whole[BLOCK:]]
    if keys:
        yield keys, torch.cat(parts)
