"""Images of a data set by their numbers: the rows of a few shards are held, and no list of keys."""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.shards import Member, members_of
from tasks.io.workspace import Workspace, dataset_folder

_SHARDS_AT_HAND = 16
"""Shards whose rows are held, at most."""


class Positions:
    """The accepted images of a data set, numbered shard after shard; for one thread alone."""

    def __init__(self, workspace: Workspace, dataset: str) -> None:
        """Open the catalogue of a data set.

        Raises:
            StepMissing: the data set has not been sharded.
            ArtifactDamaged: its index is not there, though the ledger says so, or not whole.
        """
        self.dataset = dataset
        self._catalogue, self._folder = workspace.catalogue(dataset), dataset_folder(dataset)
        self._shards = [entry for entry in self._catalogue.shards if entry.accepted]
        self._ends = list(accumulate(entry.accepted for entry in self._shards))
        self._rows = lru_cache(_SHARDS_AT_HAND)(self._catalogue.accepted)

    def __len__(self) -> int:
        """Return how many images there are."""
        return self._ends[-1] if self._ends else 0

    def at(self, position: int) -> Member:
        """Return where the image of a number from 0 on lies."""
        shard = bisect_right(self._ends, position)
        entry = self._shards[shard]
        row = position - (self._ends[shard] - entry.accepted)
        return self._member(self._rows(entry).slice(row, 1))

    def named(self, key: str) -> Member | None:
        """Return where the image of a key lies; None if there is none."""
        for entry in self._catalogue.holding(key):
            rows = self._rows(entry)
            if (found := rows.filter(pc.equal(rows["key"], key))).num_rows:
                return self._member(found)
        return None

    def _member(self, row: pa.Table) -> Member:
        (member,) = members_of(row, self._folder)
        return member
