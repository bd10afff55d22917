"""Verify: read everything that the ledger vouches for again, and name what is damaged."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from tasks.io.errors import ArtifactDamaged, StoreRefused
from tasks.io.ledger import Ledger, Record
from tasks.io.machine.resources import cores
from tasks.io.machine.threads import ordered_map
from tasks.io.store import Store
from tasks.io.store.ranges import SPAN_BYTES


class Checked(NamedTuple):
    """One record after its files were read: how many bytes, and what is wrong with which."""

    record: Record
    size: int
    damage: tuple[str, ...]


def verify(ledger: Ledger) -> Iterator[Checked]:
    """Every record of a workspace, in order, with what is wrong with its files.

    Raises:
        StoreRefused, OSError: the store as a whole cannot be read.
    """
    records = sorted(ledger.survey("").all())
    with ThreadPoolExecutor(2 * cores()) as pool:
        yield from ordered_map(pool, partial(_check, ledger), records, ahead=4 * cores())


def repair(ledger: Ledger, damaged: Iterable[Checked]) -> None:
    """Withdraw the records of damaged artifacts, so that the next run makes just these."""
    ledger.withdraw(checked.record for checked in damaged)


def still_missing(ledger: Ledger, damaged: Iterable[Checked]) -> list[str]:
    """The artifacts among damaged ones that have not been made again: another run's."""
    artifacts = {checked.record.artifact for checked in damaged}
    return sorted(artifact for artifact in artifacts if not ledger.records(artifact))


def _check(ledger: Ledger, record: Record) -> Checked:
    try:
        files: dict[str, dict[str, Any]] = ledger.facts(record)["files"]
        size = sum(facts["size"] for facts in files.values())
    except FileNotFoundError:
        return Checked(record, 0, ())  # withdrawn since: another run is making it anew
    except (ArtifactDamaged, KeyError, TypeError, AttributeError):
        return Checked(record, 0, (f"{record.path}: no record that can be read",))
    except (OSError, StoreRefused) as error:
        return Checked(record, 0, (_unread(ledger.store, record.path, error),))
    checks = [_compare(ledger.store, path, facts) for path, facts in sorted(files.items())]
    return Checked(record, size, tuple(filter(None, checks)))


def _compare(store: Store, path: str, facts: dict[str, Any]) -> str | None:
    """What is wrong with a file, if anything is."""
    digest, size = hashlib.sha256(), 0
    try:
        with store.stream(path) as stream:
            while chunk := stream.read(SPAN_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except FileNotFoundError:
        return f"{path}: not there"
    except (OSError, StoreRefused) as error:
        return _unread(store, path, error)
    if size != facts["size"]:
        return f"{path}: {size} bytes, must be {facts['size']}"
    if digest.hexdigest() != facts["sha256"]:
        return f"{path}: other bytes than were written"
    return None


def _unread(store: Store, path: str, error: Exception) -> str:
    """The damage of a file that gives an error, as one on a bad sector does.

    Raises:
        StoreRefused, OSError: it is not the file's: the store is away.
    """
    if not store.is_folder():
        raise error
    return f"{path}: cannot be read: {error}"
