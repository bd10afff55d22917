"""The ledger of a workspace: what is finished, one record per artifact, written after it.

The fingerprint of an artifact takes the digests of those that it is made from. So where an
input of the first step changes and what it makes does not, nothing further is made again. The
names of records are explained in ``tasks.io.ledger.records``.
"""

import json
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.io.errors import ArtifactDamaged
from tasks.io.ledger.fingerprints import digest_of, summarised
from tasks.io.ledger.publication import Publication, describe, is_there
from tasks.io.ledger.records import LEDGER, Record, Survey
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store

FAILURES = "failures"
"""Folder of the workspace in which notes of failed attempts lie."""

_log = logging.getLogger(__name__)


class Ledger:
    """Records of finished artifacts in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def survey(self, prefix: str, start: str = "") -> Survey:
        """Return the records of all artifacts below a folder, by one listing.

        Args:
            prefix: the folder; empty for the whole workspace.
            start: only artifacts whose path continues the folder's with this.
        """
        return Survey(map(Record.parse, self.store.names(_below(LEDGER, prefix), start)))

    def facts(self, record: Record) -> dict[str, Any]:
        """Return the body of a record: files with sizes and digests, times, and facts.

        Raises:
            FileNotFoundError: the record has been withdrawn.
            ArtifactDamaged: the record cannot be read.
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
        """Publish an artifact: its files first, its record last; nothing if the block raises.

        Records of what the artifact was before are withdrawn before its files change, so at
        no time does a record name files that are not there. Where another run makes the
        artifact from something else meanwhile, one record is left, or none.

        Args:
            artifact: path of the artifact, without the endings of its files.
            fingerprint: of what it is made from.
            inputs: what the fingerprint was taken of, for those who ask why it changed.

        Yields:
            The publication, whose files the block writes. Its digest is set afterwards.
        """
        started = time.monotonic()
        with ExitStack() as stack, self.store.writing(artifact):
            publication = Publication(artifact, fingerprint, _store=self.store, _stack=stack)
            yield publication
            own = {path: describe(file) for path, file in publication.files.items()}
            files = {**publication.adopted, **own}
            digest = publication.digest or digest_of({p: f["sha256"] for p, f in files.items()})
            publication.digest = digest
            record = Record(artifact, fingerprint, digest)
            self._replace(record, publication.files, publication.spared | {*publication.adopted})
            body = {
                "artifact": artifact,
                "files": files,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - started, 3),
                "inputs": summarised(inputs or {}),
                **publication.facts,
            }
            self.store.write(record.path, _as_json(body))
            self._make_sole(record, files)

    def _replace(self, record: Record, files: Mapping[str, Path], spared: Collection[str]) -> None:
        """Put new files in the place of those that other records of the artifact name."""
        others = self._others(record)
        before = {path for other in others for path in self.facts(other)["files"]}
        self.withdraw(others)
        self.store.put(files)
        self.withdraw(self._others(record))  # of a run whose files these have just replaced
        gone = sorted(before.difference(files, spared))
        for _ in side_by_side(self.store.remove, gone):
            pass

    def _others(self, record: Record) -> list[Record]:
        """Return all other records of the same artifact."""
        return [other for other in self.records(record.artifact) if other != record]

    def _make_sole(self, record: Record, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Withdraw records that other runs wrote meanwhile, so that at most this one is left.

        It is withdrawn too if the files in the store are not its own.
        """
        others = self._others(record)
        if not others:
            return
        _log.warning("another run made %s at once, from something else", record.artifact)
        self.withdraw(others)
        if not all(is_there(self.store, path, described) for path, described in files.items()):
            self.withdraw([record])  # without a record, the next run makes the artifact again

    def records(self, artifact: str) -> list[Record]:
        """Return all records of one artifact as they are now, in order."""
        folder, _, name = artifact.rpartition("/")
        paths = self.store.names(f"{LEDGER}/{folder}" if folder else LEDGER, f"{name}@")
        return sorted(map(Record.parse, paths))

    def note_failure(self, artifact: str, fingerprint: str, facts: Mapping[str, Any]) -> None:
        """Note that an artifact could not be made; a record of it makes the note waste."""
        path = f"{FAILURES}/{artifact}@{fingerprint}.json"
        known = {**facts, "when": datetime.now(UTC).isoformat(timespec="seconds")}
        self.store.write(path, _as_json(known))

    def failures(self, prefix: str) -> dict[tuple[str, str], str]:
        """Return the paths of all notes of failures below a folder.

        Returns:
            The path of each note, by artifact and fingerprint.
        """
        found = {}
        for path in self.store.names(_below(FAILURES, prefix)):
            artifact, _, mark = path.removeprefix(f"{FAILURES}/").rpartition("@")
            found[artifact, mark.removesuffix(".json")] = path
        return found

    def read_note(self, path: str) -> dict[str, Any]:
        """Return the facts of a note that ``failures`` has found, and ``when`` it was written."""
        note: dict[str, Any] = json.loads(self.store.read(path))
        return note

    def retire(self, records: Iterable[Record]) -> None:
        """Remove artifacts that nothing is made from any more; safe to repeat.

        The record goes first: its inputs may come back, and then it would name files that
        are gone. Files that are left where this is cut short are found as waste. What artifacts
        beside it name as well, as images of their own under their keys, stays.
        """
        going = dict[Record, Collection[str]]()
        for record, files in side_by_side(lambda each: (each, self._files(each)), records):
            going |= {} if files is None else {record: files}
        shared = {_folder(r.artifact) for r, files in going.items() if any(_shared(r, files))}
        kept = {folder: self._named_in(folder, going) for folder in shared}

        def remove(record: Record) -> None:
            self.store.remove(record.path)
            for path in set(going[record]) - kept.get(_folder(record.artifact), set()):
                self.store.remove(path)

        for _ in side_by_side(remove, going):
            pass

    def _files(self, record: Record) -> Collection[str] | None:
        """Return the paths of the files that a record names; None if it has been removed."""
        try:
            files: Collection[str] = self.facts(record)["files"]
        except FileNotFoundError:
            return None
        return files

    def _named_in(self, folder: str, without: Collection[Record]) -> set[str]:
        """Return the files that artifacts in a folder name, but for some of them."""
        others = [each for each in self.survey(folder).all() if each not in without]
        own = (each for each in others if _folder(each.artifact) == folder)
        return {path for files in side_by_side(self._files, own) for path in files or ()}

    def thin(self, record: Record, path: str) -> None:
        """Remove a file of an artifact that nothing will read again; safe to repeat.

        The record stays, without the file, so the artifact counts as made and as whole.

        Args:
            record: of the artifact.
            path: of the file.
        """
        body = self.facts(record)
        if body["files"].pop(path, None) is not None:
            self.store.write(record.path, _as_json(body))
        self.store.remove(path)

    def withdraw(self, records: Iterable[Record]) -> None:
        """Remove records, but no files; their artifacts count as missing from then on."""
        for _ in side_by_side(self.store.remove, (record.path for record in records)):
            pass


def _as_json(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, sort_keys=True).encode()


def _folder(artifact: str) -> str:
    return artifact.rpartition("/")[0]


def _shared(record: Record, files: Iterable[str]) -> Iterator[str]:
    """Yield the files that artifacts beside this one may name too: those in folders below it."""
    below = f"{_folder(record.artifact)}/"
    return (path for path in files if "/" in path.removeprefix(below) and path.startswith(below))


def _below(root: str, prefix: str) -> str:
    """Return the folder below a root, or the root itself where the prefix is empty."""
    return f"{root}/{prefix}" if prefix else root
