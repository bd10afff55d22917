"""Claims: leases on pieces of work, so that several runs on one workspace share the work.

A claim is a small file. Its owner creates it only if there is none (a conditional write),
renews it by a heartbeat, and removes it when the work is done or given up. A claim whose
owner is known to be dead, or that was not renewed for ``EXPIRY_S`` while this process
watched it, has expired: whoever finds it removes it, and may take the work over.

Claims save work; they do not guard it. Where two runs remove one expired claim in the same
moment, or create one in the same moment in a store without conditional writes, both do the
work, and as their results are the same bytes under the same names, nothing is wrong.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tasks.io.ledger.owner import Owner, create_file, parsed, this_owner
from tasks.io.machine.processes import place
from tasks.io.store import Store

CLAIMS = "claims"
"""Folder of the workspace in which all claims lie."""

_POLL_S = 2.0
"""Seconds between two looks at a claim that somebody waits for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claims:
    """The claims of a workspace, as this process holds them and sees those of others."""

    store: Store

    @contextmanager
    def held(self, name: str, *, patient: bool = False) -> Iterator[bool]:
        """Hold the claim on a piece of work during the block.

        Args:
            name: of the work; a path.
            patient: wait until the claim can be had, instead of going on without it.

        Yields:
            Whether this process holds the claim; never False if ``patient``.
        """
        path, owner = _path_of(name), this_owner()
        while not (is_ours := self._take(path, owner)) and patient:
            time.sleep(_POLL_S)
        if not is_ours:
            yield False
            return
        try:
            yield True
        finally:
            owner.release(self.store, path)

    def names(self) -> list[str]:
        """Return the names of all claims in order, expired ones too; never waits."""
        return sorted(map(_name_of, self.store.names(CLAIMS)))

    def alive(self) -> list[str]:
        """Return the names of all claims that have not expired, in order; remove the others.

        Claims of processes of this place are judged at once. Any other is watched until it
        is renewed or expires, which takes up to ``EXPIRY_S``.
        """
        return sorted(map(_name_of, self._unexpired(self.store.names(CLAIMS))))

    def is_alive(self, name: str) -> bool:
        """Whether there is a claim of this name that has not expired; waits as ``alive`` does."""
        return bool(self._unexpired([_path_of(name)]))

    def is_silent(self, name: str) -> bool:
        """Whether there is no claim of this name, or one that is known to have expired.

        It never waits: a claim from another place counts as alive until this process has seen
        it without a renewal for ``EXPIRY_S``, over several calls.
        """
        return self._state(_path_of(name), {}) == "gone"

    def sweep(self) -> None:
        """Remove all claims that are known to have expired; never waits."""
        for path in list(self.store.names(CLAIMS)):
            self._state(path, {})

    def _unexpired(self, paths: Iterable[str]) -> set[str]:
        """Watch claims until it is known of each whether it has expired; return the others."""
        first_contents, alive, waiting = dict[str, bytes](), set[str](), list(paths)
        while waiting:
            next_look = time.monotonic() + _POLL_S
            states = {path: self._state(path, first_contents) for path in waiting}
            alive |= {path for path, state in states.items() if state == "alive"}
            waiting = [path for path, state in states.items() if state == "unknown"]
            if waiting:
                time.sleep(max(0.0, next_look - time.monotonic()))
        return alive

    def _state(
        self, path: str, first_contents: dict[str, bytes]
    ) -> Literal["alive", "gone", "unknown"]:
        """Look at a claim once, and remove it if it has expired.

        Args:
            path: of the claim's file.
            first_contents: what the files held at the first look; completed here.

        Returns:
            ``gone`` if there is no claim any more; ``alive`` if it belongs to a process of
            this place, or was renewed since the first look; else ``unknown``.
        """
        owner = this_owner()
        with owner.taking:
            try:
                content = self.store.read(path)
            except FileNotFoundError:
                owner.seen.pop((self.store, path), None)
                return "gone"
            if owner.is_expired(self.store, path, content):
                _log.warning("removed the claim of a dead run on %s", path)
                self.store.remove(path)
                owner.seen.pop((self.store, path), None)
                return "gone"
        is_renewed = first_contents.setdefault(path, content) != content
        return "alive" if is_renewed or parsed(content).get("place") == place() else "unknown"

    def _take(self, path: str, owner: Owner) -> bool:
        """Create a claim and have it renewed, if there is none or an expired one.

        Returns whether this process holds it now.
        """
        content = owner.new_content()
        with owner.taking:
            is_ours = self._create(path, owner, content)
            if is_ours:
                owner.hold(self.store, path, content)
            return is_ours

    def _create(self, path: str, owner: Owner, content: bytes) -> bool:
        """Create the file of a claim if there is none or an expired one; return whether."""
        if create_file(self.store, path, content):
            return True
        try:
            found = self.store.read(path)
        except FileNotFoundError:  # released in this moment
            return create_file(self.store, path, content)
        if found == content:
            return True  # created by a request whose answer got lost, and which was repeated
        if not owner.is_expired(self.store, path, found):
            return False
        _log.warning("broke the claim of a dead run on %s", path)
        self.store.remove(path)
        return create_file(self.store, path, content)


def _path_of(name: str) -> str:
    return f"{CLAIMS}/{name}.json"


def _name_of(path: str) -> str:
    return path.removeprefix(f"{CLAIMS}/").removesuffix(".json")
