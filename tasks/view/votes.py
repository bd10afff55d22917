"""The table of votes: Parquet files beside the workspace's other folders, never lost, never mixed.

Each process that takes votes writes files of its own, whose names no other has, so that people
who vote at once, on one machine or on several over a bucket, cannot replace each other's. A vote
is in the table before its voter is told so: the process's newest file is published again with
the vote, whole, and a new file is begun when it has ``MOST_IN_A_FILE``.
"""

import secrets
import threading
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.artifacts.parquet import read_table, write_table
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store
from tasks.io.workspace import VOTES, votes_folder

MOST_IN_A_FILE = 500

Choice = Literal["left", "right", "same"]


class Vote(NamedTuple):
    """What one person said of two versions of an image, seen side by side without their names."""

    id: str
    """Drawn for this comparison; a vote that is sent twice counts once."""
    time: datetime
    voter: str
    key: str
    shard: str
    left: str
    """Name of the version on the left: an alpha as ``+0.50``, ``input`` or ``reference``."""
    right: str
    left_sha256: str
    """Of the file that was shown."""
    right_sha256: str
    choice: Choice
    """``same`` where no difference was seen, or none was liked better."""
    seconds: float | None
    """From the pictures' being there to the answer, as the voter's browser tells."""


def vote_schema() -> pa.Schema:
    """The columns of the table of votes, with unit and meaning as metadata."""
    return pa.schema(
        [
            _column("id", pa.string(), "drawn for this comparison"),
            _column("time", pa.timestamp("us", tz="UTC"), "when the vote was cast"),
            _column("voter", pa.string(), "the name that was given, or guest and a number"),
            _column("key", pa.string(), "path in the corpus, without extension"),
            _column("shard", pa.string(), "name of the shard"),
            _column("left", pa.string(), "version on the left: an alpha, input or reference"),
            _column("right", pa.string(), "version on the right"),
            _column("left_sha256", pa.string(), "digest of the file on the left"),
            _column("right_sha256", pa.string(), "digest of the file on the right"),
            _column("choice", pa.string(), "left, right or same"),
            _column("seconds", pa.float64(), "from the pictures' being there to the answer", "s"),
        ]
    )


class Votes:
    """The votes on one enhanced data set; may be used from several threads.

    Args:
        store: of the workspace.
        dataset: name of the data set.
        results: name of the folders of what was made of it.
    """

    def __init__(self, store: Store, dataset: str, results: str) -> None:
        self._store, self.folder = store, votes_folder(dataset, results)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
        self._session = f"{stamp}-{secrets.token_hex(4)}"
        self._number, self._writing = 0, threading.Lock()

    @property
    def address(self) -> str:
        """Where the table lies, as a person types it."""
        return self._store.address(self.folder)

    def add(self, vote: Vote) -> None:
        """Add a vote, unless it is there; it is in the table when this returns.

        Raises:
            StoreRefused: the store takes no file.
            OSError: it gives no answer, or does not have what was written.
        """
        with self._writing:
            rows = self._newest()  # read again, as images may have been forgotten meanwhile
            if vote.id in rows["id"].to_pylist():
                return
            if rows.num_rows >= MOST_IN_A_FILE:
                self._number, rows = self._number + 1, rows.slice(0, 0)
            row = pa.Table.from_pylist([vote._asdict()], vote_schema())
            with self._store.publish(self._path()) as aside:
                write_table(pa.concat_tables([rows, row]), aside)

    def all(self) -> list[Vote]:
        """Return the votes of everybody, by time.

        Raises:
            ArtifactDamaged: a file is not whole.
        """
        paths = sorted(self._store.names(self.folder))
        tables = side_by_side(lambda path: read_table(self._store, path), paths)
        votes = [Vote(**row) for table in tables for row in table.to_pylist()]
        return sorted(votes, key=lambda vote: (vote.time, vote.id))

    def _newest(self) -> pa.Table:
        path = self._path()
        if not self._store.exists(path):
            return vote_schema().empty_table()
        return read_table(self._store, path).cast(vote_schema())

    def _path(self) -> str:
        return f"{self.folder}/{self._session}-{self._number:04d}.parquet"


def forget_votes(store: Store, keys: Collection[str]) -> None:
    """Take all votes on these images out of every table of a workspace."""
    forgotten = pa.array(sorted(keys), pa.string())
    for path in sorted(store.names(VOTES)):
        rows = read_table(store, path)
        kept = rows.filter(pc.invert(pc.is_in(rows["key"], forgotten)))
        if kept.num_rows == rows.num_rows:
            continue
        if kept.num_rows == 0:
            store.remove(path)
            continue
        with store.publish(path) as aside:
            write_table(kept, aside)


def _column(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})
