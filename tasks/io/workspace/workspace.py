"""The workspace: its store, its ledger and claims, and the contents of its data sets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from tasks.io.catalogue import Catalogue, Place, read_shards
from tasks.io.errors import ArtifactDamaged, StepMissing
from tasks.io.ledger import Claims, Ledger, Snapshot
from tasks.io.machine.threads import side_by_side
from tasks.io.shards import Member, members_of, read_index
from tasks.io.store import Store
from tasks.io.workspace.layout import FORGOTTEN, dataset_folder


@dataclass(frozen=True)
class Workspace:
    """A workspace by its URL; everything else is opened when it is first asked for."""

    url: str
    still: bool = False
    """Whether the ledger tells what was there when it was first asked; for those who only look."""

    @cached_property
    def store(self) -> Store:
        """The workspace's folder or bucket."""
        return Store(self.url)

    @cached_property
    def ledger(self) -> Ledger:
        """The records of what is finished."""
        return Snapshot(self.store) if self.still else Ledger(self.store)

    @cached_property
    def claims(self) -> Claims:
        """The claims of those who are at work."""
        return Claims(self.store)

    def catalogue(self, dataset: str) -> Catalogue:
        """Open the catalogue of a data set.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its index is not there, though the ledger says so, or not whole.
        """
        with self._indexed(dataset):
            return Catalogue.of(self.store, dataset_folder(dataset))

    def shards(self, dataset: str) -> dict[str, int]:
        """Return the shards of a data set that have rows, and how many images each accepted.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its list is not there, though the ledger says so, or not whole.
        """
        with self._indexed(dataset):
            entries = read_shards(self.store, dataset_folder(dataset))
        return {entry.shard: entry.accepted for entry in entries if entry.rows}

    @contextmanager
    def _indexed(self, dataset: str) -> Iterator[None]:
        """Translate errors of reading an index: one without a record has not been made.

        Raises:
            StepMissing: the index is not there or not whole, and has no record.
            ArtifactDamaged: it is not there or not whole, but has one.
        """
        folder = dataset_folder(dataset)
        try:
            yield
        except ArtifactDamaged as error:
            if self.ledger.survey(folder).records(f"{folder}/index"):
                raise
            raise StepMissing(
                f"the data set {dataset!r} must have been sharded, but is not; run `dotpipe shard "
                "CONFIG` first"
            ) from error

    def keys(self, dataset: str) -> Iterator[Place]:
        """Yield key and shard of every accepted image, in the order of keys.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its index is not there, though the ledger says so, or not whole.
        """
        return self.catalogue(dataset).keys()

    def forgotten(self) -> dict[str, list[str]]:
        """Return the digests of forgotten keys, and for each the foreign tars that hold the key."""
        paths = sorted(self.store.names(FORGOTTEN))
        found = zip(paths, side_by_side(self.store.read, paths), strict=True)
        return {
            path.rpartition("/")[2].removesuffix(".json"): json.loads(text) for path, text in found
        }

    def shard_index(self, dataset: str, shard: str) -> pa.Table:
        """Return the index of one shard, a row for each image that was offered.

        Raises:
            ArtifactDamaged: it is not there, or not whole.
        """
        return read_index(self.store, f"{dataset_folder(dataset)}/{shard}.parquet")

    def members(self, dataset: str, shard: str) -> list[Member]:
        """Return where the accepted images of one shard lie, in the order of its index.

        Raises:
            ArtifactDamaged: the shard's index is not there, or not whole.
        """
        return members_of(self.shard_index(dataset, shard), dataset_folder(dataset))
