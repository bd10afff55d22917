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
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dot_kernels import KERNEL_VERSION
from tasks.io.store import Store

LEDGER = "ledger"
_DIGITS = 32


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
        """The digest of the artifact, if it was made from just these inputs."""
        for record in self._records.get(artifact, []):
            if record.fingerprint == fingerprint:
                return record.digest
        return None

    def stale(self, artifact: str, fingerprint: str) -> list[Record]:
        """Records of the artifact as made from other inputs."""
        records = self._records.get(artifact, [])
        return [record for record in records if record.fingerprint != fingerprint]

    def retired(self, shards: Collection[str]) -> list[Record]:
        """The records of artifacts of other shards than these."""
        return [
            record
            for artifact, records in sorted(self._records.items())
            if (shard := artifact.rpartition("/")[2]).startswith("shard-") and shard not in shards
            for record in records
        ]

    def artifacts(self) -> list[str]:
        """All artifacts with a record, in order."""
        return sorted(self._records)

    def records(self, artifact: str) -> list[Record]:
        """All records of one artifact."""
        return list(self._records.get(artifact, []))


@dataclass
class Publication:
    """An artifact in the making: files in scratch space, and what its record will say."""

    artifact: str
    fingerprint: str
    facts: dict[str, Any] = field(default_factory=dict)
    digest: str | None = None
    """Digest of the content; by default that of the bytes of all files."""
    _files: dict[str, Path] = field(default_factory=dict)
    _indexed: set[str] = field(default_factory=set)
    _store: Store = field(repr=False, kw_only=True)
    _stack: ExitStack = field(repr=False, kw_only=True)

    def file(self, path: str, *, indexed: bool = False) -> Path:
        """A local file to write; it becomes ``path`` when the publication ends well.

        Args:
            path: in the store.
            indexed: another file of the publication has digests of all its content, so
                it is not read again for one of its own.
        """
        self._files[path] = self._stack.enter_context(self._store.scratch())
        if indexed:
            self._indexed.add(path)
        return self._files[path]


class Ledger:
    """Records of finished artifacts in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def survey(self, prefix: str) -> Survey:
        """The records of all artifacts below a folder: one listing."""
        entries = self.store.list(f"{LEDGER}/{prefix}")
        return Survey(Record.parse(entry.path) for entry in entries)

    def facts(self, record: Record) -> dict[str, Any]:
        """The body of a record."""
        body: dict[str, Any] = json.loads(self.store.read(record.path))
        return body

    @contextmanager
    def publishing(
        self, artifact: str, fingerprint: str, stale: Iterable[Record] = ()
    ) -> Iterator[Publication]:
        """Publish an artifact: files first, record last; nothing if the block raises.

        Records of what the artifact was before are withdrawn before its files change,
        so at no time does a record vouch for files that are not there.
        """
        with ExitStack() as stack:
            publication = Publication(artifact, fingerprint, _store=self.store, _stack=stack)
            started = datetime.now(UTC)
            yield publication
            files = {
                path: _describe(aside, hashed=path not in publication._indexed)
                for path, aside in publication._files.items()
            }
            digest = publication.digest or digest_of({p: f["sha256"] for p, f in files.items()})
            stale = [record for record in stale if self.store.exists(record.path)]
            before = {path for record in stale for path in self.facts(record)["files"]}
            self.withdraw(stale)
            for path, aside in publication._files.items():
                self.store.put(aside, path)
            for path in sorted(before - files.keys()):
                self.store.remove(path)
            now = datetime.now(UTC)
            body = {
                "artifact": artifact,
                "files": files,
                "finished": now.isoformat(timespec="seconds"),
                "seconds": round((now - started).total_seconds(), 3),
                **publication.facts,
            }
            with self.store.publish(Record(artifact, fingerprint, digest).path) as aside:
                aside.write_text(json.dumps(body, indent=1, sort_keys=True))
            publication.digest = digest

    def retire(self, records: Iterable[Record]) -> None:
        """Remove artifacts that nothing is made from any more; safe to repeat.

        The record goes last here: an artifact without a record would never be found
        again, and one whose record has outlived its files is of no current plan.
        """
        for record in records:
            if self.store.exists(record.path):
                for path in self.facts(record)["files"]:
                    self.store.remove(path)
                self.withdraw([record])

    def withdraw(self, records: Iterable[Record]) -> None:
        """Remove records; the artifacts they vouched for count as missing."""
        for record in records:
            self.store.remove(record.path)


def digest_of(content: Any) -> str:
    """A digest of anything JSON can say, the same for equal content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def fingerprint(step: str, inputs: Mapping[str, Any]) -> str:
    """What an artifact is made from: the step, its inputs and options, the kernels."""
    return digest_of({"step": step, "inputs": inputs, "kernels": KERNEL_VERSION})


def _describe(aside: Path, *, hashed: bool) -> dict[str, Any]:
    """Size and digest of a finished file; no digest if it is not hashed."""
    size = aside.stat().st_size
    if not hashed:
        return {"sha256": None, "size": size}
    with aside.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "size": size}
