"""The owner of claims: what one process holds, and what it has seen of the claims of others.

A process renews every claim that it holds by a heartbeat: each ``HEARTBEAT_S`` seconds it
writes the claim's file again, with content that was never there before. A claim of another
process has expired when that process is known to have ended, or when its file has kept the
same content for ``EXPIRY_S`` seconds while this process looked on. These seconds are counted
by this process's own clock, so no clock is compared with another machine's.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tasks.io.machine.processes import is_dead, place
from tasks.io.store import Store

HEARTBEAT_S = 20.0
"""Seconds between two renewals of a claim."""

EXPIRY_S = 90.0
"""Seconds without a renewal after which a claim counts as that of a dead process."""

_log = logging.getLogger(__name__)


class HeldClaim:
    """A claim that this process holds, which can be renewed by a heartbeat."""

    def __init__(self, store: Store, path: str, content: bytes) -> None:
        self._store, self._path = store, path
        self._written = {content}
        """What the file may hold of ours: several contents where a write had no answer."""
        self._lock, self._released = threading.Lock(), threading.Event()
        self._has_heartbeat = False

    def start_heartbeat(self, new_content: Callable[[], bytes]) -> None:
        """Renew the claim at once, and then by a heartbeat until it is released.

        Each claim has a thread for this, so that a request which hangs delays no other claim.
        Starting the heartbeat again does nothing.
        """
        if not self._has_heartbeat:
            self._has_heartbeat = True
            args = (new_content,)
            threading.Thread(target=self._beat, args=args, name="claim", daemon=True).start()

    def release(self) -> None:
        """Stop the heartbeat, and remove the claim unless another owner has taken it over.

        Errors are logged and not raised: the claim expires by itself.
        """
        self._released.set()
        with self._lock:
            try:
                if self._read() in self._written:
                    self._store.remove(self._path)
            except Exception:  # noqa: BLE001 - the work's own error matters; a claim expires
                _log.warning("could not remove the claim %s; it fades", self._path)

    def _beat(self, new_content: Callable[[], bytes]) -> None:
        while not self._released.is_set():
            with self._lock:
                if self._released.is_set():
                    return
                try:
                    self._renew(new_content())
                except Exception:  # noqa: BLE001 - the next heartbeat may get through
                    _log.warning("could not touch the claim %s", self._path)
            self._released.wait(HEARTBEAT_S)

    def _renew(self, content: bytes) -> None:
        """Write new content, also where the claim was removed as expired and nobody has it.

        A claim that another owner has taken over is left alone.
        """
        found = self._read()
        if found is None:
            self._written.add(content)
            create_file(self._store, self._path, content)
        elif found in self._written:
            self._written.add(content)
            self._store.write(self._path, content)
            self._written = {content}

    def _read(self) -> bytes | None:
        """Return what the file holds, which may be another owner's; None if there is none."""
        try:
            return self._store.read(self._path)
        except FileNotFoundError:
            return None


@dataclass
class Owner:
    """One process: the claims that it holds, and the claims of others that it has seen."""

    name: str
    """Tells this process from all others, also from a later one with the same number."""
    held: dict[tuple[Store, str], HeldClaim] = field(default_factory=dict)
    seen: dict[tuple[Store, str], tuple[bytes, float]] = field(default_factory=dict)
    """Content of others' claims, and the monotonic second in which it was first seen."""
    taking: threading.Lock = field(default_factory=threading.Lock)
    """Held while a claim is made or judged: between its file and its entry in ``held`` it
    would look like one that this process has given up."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Guards ``held`` and ``is_watching``; no request is made while it is held."""
    is_watching: bool = False
    """Whether a thread waits to start the heartbeats of claims that are held for long."""

    def new_content(self) -> bytes:
        """Return content for the file of a claim, never the same twice."""
        said = {"place": place(), "process": os.getpid(), "owner": self.name}
        return json.dumps({**said, "beat": uuid.uuid4().hex}).encode()

    def is_expired(self, store: Store, path: str, content: bytes) -> bool:
        """Whether the owner of a claim is dead, has given it up, or has not renewed it in time.

        A content that is seen for the first time is noted together with the time.

        Args:
            store: where the claim lies.
            path: of the claim's file.
            content: of the claim's file, as it has just been read.
        """
        said = parsed(content)
        with suppress(ValueError, KeyError, TypeError):
            is_given_up = said["owner"] == self.name and (store, path) not in self.held
            if is_given_up or is_dead(str(said["place"]), int(said["process"])):
                return True
        known = self.seen.get((store, path))
        if known is None or known[0] != content:
            self.seen[store, path] = (content, time.monotonic())
            return False
        return time.monotonic() - known[1] > EXPIRY_S

    def hold(self, store: Store, path: str, content: bytes) -> None:
        """Take over the renewal of a claim whose file was made with this content."""
        self.seen.pop((store, path), None)
        with self.lock:
            self.held[store, path] = HeldClaim(store, path, content)
            was_watching, self.is_watching = self.is_watching, True
        if not was_watching:
            threading.Thread(target=self._watch, name="claims", daemon=True).start()

    def _watch(self) -> None:
        """Start the heartbeat of every claim that is held when an interval of it ends.

        Returns when no claim is held. Most claims are released within their first interval,
        and so never cost a thread of their own.
        """
        while True:
            time.sleep(HEARTBEAT_S)
            with self.lock:
                claims = list(self.held.values())
                self.is_watching = bool(claims)
            if not claims:
                return
            for claim in claims:
                claim.start_heartbeat(self.new_content)

    def release(self, store: Store, path: str) -> None:
        """Remove a claim because its work is done or given up; one not held is left alone."""
        claim = self.held.get((store, path))
        if claim is None:
            return
        claim.release()
        with self.lock:
            if self.held.get((store, path)) is claim:  # no other thread has taken it since
                del self.held[store, path]


def create_file(store: Store, path: str, content: bytes) -> bool:
    """Create the file of a claim unless there is one; return whether this call did.

    In a store without conditional writes, two calls at the same moment may both return True.
    """
    is_created = store.create(path, content)
    if is_created is not None:
        return is_created
    if store.exists(path):
        return False
    store.write(path, content)
    return True


def parsed(content: bytes) -> dict[str, Any]:
    """Return the fields of a claim's file; none if it is damaged or not a claim's."""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def this_owner() -> Owner:
    """Return this process as an owner; a process that was forked from it is another one."""
    process = os.getpid()
    found = _owners.get(process)
    return found or _owners.setdefault(process, Owner(f"{process}-{uuid.uuid4().hex}"))


_owners: dict[int, Owner] = {}


def release_all() -> None:
    """Release every claim of this process, which is about to end."""
    owner = this_owner()
    for store, path in tuple(owner.held):
        owner.release(store, path)
