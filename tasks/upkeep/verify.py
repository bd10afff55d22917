"""Verify: read all files that records list again, and say which are not as they were written.

A ledger goes in; each of its records comes out with the damage of its files. Damaged artifacts
are made again once their records are withdrawn. Of files that this user may not read nobody can
say whether they are damaged; they stay as they are.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.io.errors import AccessRefused, ArtifactDamaged, StoreRefused
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.store import Store
from tasks.io.store.ranges import SPAN_BYTES
from tasks.io.workspace import Workspace
from tasks.upkeep.cleaning.needs import needs_of

_CLOSED = (AccessRefused, PermissionError)
"""Errors that say of a file that it may not be read, and nothing of what it holds."""


class Checked(NamedTuple):
    """A record whose files were read."""

    record: Record
    size: int
    """Bytes of all its files, as the record says."""
    damage: tuple[str, ...]
    """A sentence for every file that is not as it was written; empty if all are."""
    closed: tuple[str, ...] = ()
    """A sentence for every file that may not be read; empty if all may be."""


def verify(ledger: Ledger) -> Iterator[Checked]:
    """Read the files of every record of a workspace, in order; yield what is wrong with them.

    Raises:
        StoreRefused, OSError: the store as a whole cannot be read.
    """
    records = sorted(ledger.survey("").all())
    with ThreadPoolExecutor(2 * cores()) as pool:
        yield from ordered_map(pool, partial(_check, ledger), records, ahead=4 * cores())


def repair(ledger: Ledger, damaged: Iterable[Checked]) -> None:
    """Withdraw the records of damaged artifacts, so that the next run makes just these."""
    ledger.withdraw(checked.record for checked in damaged)


def still_missing(config: Config, damaged: Iterable[Checked]) -> list[str]:
    """Return which damaged artifacts a configuration that has run does not make, in order.

    They have no record, and belong to another one. Its own that nothing asks for any more do not
    count, as sums of features that have been compared: a run that needs them makes them.

    Args:
        config: that has run since the damage was found.
        damaged: as it was found.
    """
    ledger = Workspace(config.workspace).ledger
    artifacts = {checked.record.artifact for checked in damaged}
    if not (left := sorted(each for each in artifacts if not ledger.records(each))):
        return []
    needs = needs_of(config)
    return [each for each in left if not needs.hold(each)]


def _check(ledger: Ledger, record: Record) -> Checked:
    try:
        files: dict[str, dict[str, Any]] = ledger.facts(record)["files"]
        size = sum(facts["size"] for facts in files.values())
    except FileNotFoundError:
        return Checked(record, 0, ())  # withdrawn since: another run is making it anew
    except (ArtifactDamaged, KeyError, TypeError, AttributeError):
        return Checked(record, 0, (f"{record.path}: no record that can be read",))
    except _CLOSED as error:
        return Checked(record, 0, (), (str(error),))
    except (OSError, StoreRefused) as error:
        return Checked(record, 0, (_unread(ledger.store, record.path, error),))
    damage, closed = list[str](), list[str]()
    for path, facts in sorted(files.items()):
        try:
            damage += filter(None, [_compare(ledger.store, path, facts)])
        except _CLOSED as error:
            closed.append(str(error))
    return Checked(record, size, tuple(damage), tuple(closed))


def _compare(store: Store, path: str, facts: dict[str, Any]) -> str | None:
    """Return what is wrong with a file; None if its size and bytes are those of its record.

    Raises:
        AccessRefused, PermissionError: it may not be read; in S3 perhaps because it is archived.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with store.stream(path) as stream:
            while chunk := stream.read(SPAN_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return f"{path}: not there"
    except _CLOSED:
        raise
    except (OSError, StoreRefused) as error:
        return _unread(store, path, error)
    if size != facts["size"]:
        return f"{path}: {size} bytes, must be {facts['size']}"
    if digest.hexdigest() != facts["sha256"]:
        return f"{path}: other bytes than were written"
    return None


def _unread(store: Store, path: str, error: Exception) -> str:
    """Return the damage of a file that cannot be read, as one on a bad sector.

    Raises:
        StoreRefused, OSError: the given error, if the whole store cannot be reached.
    """
    if not store.is_folder():
        raise error
    return f"{path}: cannot be read: {error}"
