"""What is done: one record per artifact, written after it.

A record's name holds everything a plan asks for, so that a listing of names answers
for thousands of shards without opening one file:

    ledger/<artifact>@<fingerprint>=<digest>.json

The fingerprint names what went in (step, inputs, options, kernel version), the digest
what came out. The next step's fingerprint takes this digest: if an input changes and
the output does not, nothing further is redone.
"""

import hashlib
import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from tasks.io.errors import ArtifactDamaged
from tasks.io.ledger.fingerprints import digest_of, summarised
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store

LEDGER = "ledger"
FAILURES = "failures"
_log = logging.getLogger(__name__)


class Record(NamedTuple):
    """A line of the ledger, as its name tells it."""

    artifact: str
    fingerprint: str
    digest: str

    @property
    def path(self) -> str:
        """Where the record lies in the store."""
        return f"{LEDGER}/{self.artifact}@{self.fingerprint}={self.digest}.json"

    @classmethod
    def parse(cls, path: str) -> "Record":
        """The record with this path."""
        artifact, _, marks = path.removeprefix(f"{LEDGER}/").rpartition("@")
        fingerprint, _, digest = marks.removesuffix(".json").partition("=")
        return cls(artifact, fingerprint, digest)


class Survey:
    """The records below a folder, as they were when it was taken."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records: dict[str, list[Record]] = {}
        for record in records:
            self._records.setdefault(record.artifact, []).append(record)

    def digest(self, artifact: str, fingerprint: str) -> str | None:
        """The digest of the artifact, if it was made from just these inputs.

        None where it has several records: of two that made it at once, one was killed before
        it could tell whose files are there.
        """
        records = self._records.get(artifact, [])
        marks = [record.fingerprint for record in records]
        return records[0].digest if marks == [fingerprint] else None

    def of_shards(self, shards: Collection[str]) -> list[Record]:
        """The records of all artifacts of some shards."""
        return [
            record
            for artifact, records in sorted(self._records.items())
            if artifact.rpartition("/")[2] in shards
            for record in records
        ]

    def artifacts(self) -> list[str]:
        """All artifacts with a record, in order."""
        return sorted(self._records)

    def all(self) -> Iterator[Record]:
        """All records."""
        for records in self._records.values():
            yield from records

    def records(self, artifact: str) -> list[Record]:
        """All records of one artifact, in order."""
        found = self._records.get(artifact, [])
        return sorted(found) if len(found) > 1 else list(found)


@dataclass
class Publication:
    """An artifact in the making: files in scratch space, and what its record will say."""

    artifact: str
    fingerprint: str
    facts: dict[str, Any] = field(default_factory=dict)
    digest: str | None = None
    """Digest of the content; by default that of the bytes of all files."""
    _files: dict[str, Path] = field(default_factory=dict)
    _store: Store = field(repr=False, kw_only=True)
    _stack: ExitStack = field(repr=False, kw_only=True)

    def file(self, path: str) -> Path:
        """A local file to write; it becomes ``path`` when the publication ends well."""
        self._files[path] = self._stack.enter_context(self._store.scratch())
        return self._files[path]


class Ledger:
    """Records of finished artifacts in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def survey(self, prefix: str, start: str = "") -> Survey:
        """The records of all artifacts below a folder: one listing.

        Args:
            prefix: the folder.
            start: only artifacts whose path continues the folder's with this.
        """
        return Survey(map(Record.parse, self.store.names(_below(LEDGER, prefix), start)))

    def facts(self, record: Record) -> dict[str, Any]:
        """The body of a record.

        Raises:
            FileNotFoundError: it has been withdrawn.
            ArtifactDamaged: it cannot be read.
        """
        try:
            body: dict[str, Any] = json.loads(self.store.read(record.path))
        except ValueError as error:
            raise ArtifactDamaged(
                f"{record.path} must be a record, but is no JSON: {error}; run `dotpipe repair "
                "CONFIG`"
            ) from error
        return body

    @contextmanager
    def publishing(
        self, artifact: str, fingerprint: str, inputs: Mapping[str, Any] | None = None
    ) -> Iterator[Publication]:
        """Publish an artifact: files first, record last; nothing if the block raises.

        Records of what the artifact was before are withdrawn before its files change,
        so at no time does a record vouch for files that are not there. Where another run
        makes the artifact from something else meanwhile, one record is left, or none.

        Args:
            artifact: its name.
            fingerprint: of what it is made from.
            inputs: what the fingerprint was taken of, for those who ask why it changed.
        """
        started = time.monotonic()
        with ExitStack() as stack, self.store.writing(artifact):
            publication = Publication(artifact, fingerprint, _store=self.store, _stack=stack)
            yield publication
            files = {path: _describe(aside) for path, aside in publication._files.items()}
            digest = publication.digest or digest_of({p: f["sha256"] for p, f in files.items()})
            publication.digest = digest
            record = Record(artifact, fingerprint, digest)
            self._replace(record, publication._files)
            body = {
                "artifact": artifact,
                "files": files,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - started, 3),
                "inputs": summarised(inputs or {}),
                **publication.facts,
            }
            text = json.dumps(body, indent=1, sort_keys=True)
            self.store.write(record.path, text.encode())
            self._make_sole(record, files)

    def _replace(self, record: Record, files: Mapping[str, Path]) -> None:
        """Put new files where those of other records of the artifact are."""
        others = self._others(record)
        before = {path for other in others for path in self.facts(other)["files"]}
        self.withdraw(others)
        self.store.put(files)
        self.withdraw(self._others(record))  # of a run whose files these have just replaced
        for path in sorted(before - files.keys()):
            self.store.remove(path)

    def _others(self, record: Record) -> list[Record]:
        """The records of the same artifact, but for this one."""
        return [other for other in self.records(record.artifact) if other != record]

    def _make_sole(self, record: Record, files: Mapping[str, dict[str, Any]]) -> None:
        """Withdraw what others wrote at once; the record too, if the files are not its own."""
        others = self._others(record)
        if not others:
            return
        _log.warning("another run made %s at once, from something else", record.artifact)
        self.withdraw(others)
        if not all(_is_at(self.store, path, described) for path, described in files.items()):
            self.withdraw([record])  # nobody vouches, so the next run makes it again

    def records(self, artifact: str) -> list[Record]:
        """All records of one artifact as they are now."""
        folder, _, name = artifact.rpartition("/")
        paths = self.store.names(f"{LEDGER}/{folder}" if folder else LEDGER, f"{name}@")
        return sorted(map(Record.parse, paths))

    def note_failure(self, artifact: str, fingerprint: str, facts: Mapping[str, Any]) -> None:
        """Leave a note that an artifact could not be made; a later record outdoes it."""
        path = f"{FAILURES}/{artifact}@{fingerprint}.json"
        known = {**facts, "when": datetime.now(UTC).isoformat(timespec="seconds")}
        self.store.write(path, json.dumps(known, indent=1, sort_keys=True).encode())

    def failures(self, prefix: str) -> dict[tuple[str, str], str]:
        """The notes below a folder: their paths by artifact and fingerprint."""
        found = {}
        for path in self.store.names(_below(FAILURES, prefix)):
            artifact, _, mark = path.removeprefix(f"{FAILURES}/").rpartition("@")
            found[artifact, mark.removesuffix(".json")] = path
        return found

    def read_note(self, path: str) -> dict[str, Any]:
        """What a note of a failure says."""
        note: dict[str, Any] = json.loads(self.store.read(path))
        return note

    def retire(self, records: Iterable[Record]) -> None:
        """Remove artifacts that nothing is made from any more; safe to repeat.

        The record goes first, as its inputs may come back and it would vouch for files
        that are gone. Files that are left where this is cut short are found as waste.
        """
        for _ in side_by_side(self._retire, records):
            pass

    def _retire(self, record: Record) -> None:
        try:
            files = self.facts(record)["files"]
        except FileNotFoundError:  # retired before
            return
        self.store.remove(record.path)
        for path in files:
            self.store.remove(path)

    def withdraw(self, records: Iterable[Record]) -> None:
        """Remove records; the artifacts they vouched for count as missing."""
        for _ in side_by_side(self.store.remove, (record.path for record in records)):
            pass


class Snapshot(Ledger):
    """A ledger as it was when it was first asked: one listing answers all surveys."""

    @cached_property
    def _folders(self) -> dict[str, list[Record]]:
        folders: dict[str, list[Record]] = {}
        for path in self.store.names(LEDGER):
            record = Record.parse(path)
            folders.setdefault(record.artifact.rpartition("/")[0], []).append(record)
        return folders

    @cached_property
    def _surveys(self) -> dict[str, Survey]:
        return {}

    def survey(self, prefix: str, start: str = "") -> Survey:
        """The records of all artifacts below a folder."""
        if prefix not in self._surveys:
            below = f"{prefix}/" if prefix else ""
            found = (
                records
                for folder, records in self._folders.items()
                if folder == prefix or folder.startswith(below)
            )
            self._surveys[prefix] = Survey(chain.from_iterable(found))
        return self._surveys[prefix]


def _below(root: str, prefix: str) -> str:
    """A folder of the ledger; of all of it where the prefix is empty."""
    return f"{root}/{prefix}" if prefix else root


def _describe(aside: Path) -> dict[str, Any]:
    """Size and digest of a finished file."""
    with aside.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": aside.stat().st_size}


def _is_at(store: Store, path: str, described: Mapping[str, Any]) -> bool:
    """Whether just this file is in the store."""
    try:
        with store.fetched(path) as copy:
            return _describe(copy) == described
    except FileNotFoundError:
        return False
