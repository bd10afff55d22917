"""Records of finished artifacts, as far as their names tell them.

A record's name holds everything that a plan asks for, so that a listing of names answers
for thousands of shards without opening one file:

    ledger/<artifact>@<fingerprint>=<digest>.json

The fingerprint names what the artifact was made from (step, inputs, options, versions of
numbers), the digest what was made.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

LEDGER = "ledger"
"""Folder of the workspace in which all records lie."""


class Record(NamedTuple):
    """One record of the ledger, as its name tells it; its file holds more."""

    artifact: str
    """Path of the artifact, without the endings of its files."""
    fingerprint: str
    """Digest of what the artifact was made from."""
    digest: str
    """Digest of what was made."""

    @property
    def path(self) -> str:
        """Where the record's file lies in the store."""
        return f"{LEDGER}/{self.artifact}@{self.fingerprint}={self.digest}.json"

    @classmethod
    def parse(cls, path: str) -> "Record":
        """Return the record whose file has this path."""
        artifact, _, marks = path.removeprefix(f"{LEDGER}/").rpartition("@")
        fingerprint, _, digest = marks.removesuffix(".json").partition("=")
        return cls(artifact, fingerprint, digest)


class Survey:
    """The records of all artifacts below a folder, as they were when they were listed."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records: dict[str, list[Record]] = {}
        for record in records:
            self._records.setdefault(record.artifact, []).append(record)

    def digest(self, artifact: str, fingerprint: str) -> str | None:
        """Return the artifact's digest if it was made from just these inputs, else None.

        None also where the artifact has several records: then two runs made it at once, and
        one was killed before it could tell whose files are there.
        """
        records = self._records.get(artifact, [])
        marks = [record.fingerprint for record in records]
        return records[0].digest if marks == [fingerprint] else None

    def of_shards(self, shards: Collection[str]) -> list[Record]:
        """Return the records of all artifacts whose last part is the name of such a shard."""
        return [
            record
            for artifact, records in sorted(self._records.items())
            if artifact.rpartition("/")[2] in shards
            for record in records
        ]

    def artifacts(self) -> list[str]:
        """Return the paths of all artifacts with a record, in order."""
        return sorted(self._records)

    def all(self) -> Iterator[Record]:
        """Yield all records, those of one artifact together."""
        for records in self._records.values():
            yield from records

    def records(self, artifact: str) -> list[Record]:
        """Return the records of one artifact in order; none if it is not finished."""
        found = self._records.get(artifact, [])
        return sorted(found) if len(found) > 1 else list(found)
