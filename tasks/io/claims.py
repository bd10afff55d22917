"""Claims: who is at work on what, so that two runs on one workspace share the work.

A claim is a small file that its owner makes only if there is none (a conditional write),
touches now and then, and removes when the work is done or given up. One whose owner is
known to be dead, or that has not been touched for ``PATIENCE_S`` while this process
watched it, is broken. No clock is compared with another machine's.

Claims save work; they do not guard it. Where a store has no conditional writes, or two
runs break one claim in the same moment, both do the work, and as their results are the
same bytes under the same names, nothing is wrong.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tasks.io.processes import is_dead, place
from tasks.io.store import Store

CLAIMS = "claims"
BEAT_S = 20.0
PATIENCE_S = 90.0
_GLANCE_S = 2.0
"""Between two looks at a claim that somebody waits for."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claims:
    """The claims of a workspace, as this process sees and holds them."""

    store: Store

    @contextmanager
    def held(self, name: str, *, patient: bool = False) -> Iterator[bool]:
        """Whether the work of this name is ours while the block runs.

        Args:
            name: of the work; a path.
            patient: wait until it is ours rather than say that it is not.
        """
        path, keeper = f"{CLAIMS}/{name}.json", _keeper(os.getpid())
        while not (ours := self._take(path, keeper)) and patient:
            time.sleep(_GLANCE_S)
        if not ours:
            yield False
            return
        try:
            yield True
        finally:
            keeper.let_go(self.store, path)

    def alive(self) -> Iterator[str]:
        """The names of claims whose owners may be at work."""
        keeper = _keeper(os.getpid())
        for path in self.store.names(CLAIMS):
            with suppress(FileNotFoundError):  # let go of in this moment
                if not keeper.is_forsaken(self.store, path, self.store.read(path)):
                    yield path.removeprefix(f"{CLAIMS}/").removesuffix(".json")

    def _take(self, path: str, keeper: "_Keeper") -> bool:
        """Make and keep a claim, over a dead one too; whether it is ours now."""
        with keeper.taking:  # or another thread would take what is not kept yet for given up
            taken = self._make(path, keeper)
            if taken:
                keeper.keep(self.store, path)
            return taken

    def _make(self, path: str, keeper: "_Keeper") -> bool:
        ours = keeper.words()
        if self.store.create(path, ours) is not False:
            return True  # made, or the store knows no claims
        try:
            words = self.store.read(path)
        except FileNotFoundError:  # let go of in this moment
            return self.store.create(path, ours) is True
        if words == ours:
            return True  # made by a request whose answer got lost, and which was repeated
        if not keeper.is_forsaken(self.store, path, words):
            return False
        _log.warning("broke the claim of a dead run on %s", path)
        self.store.remove(path)
        return self.store.create(path, ours) is True


@dataclass
class _Keeper:
    """What one process claims, and what it has seen of the claims of others."""

    owner: str
    held: set[tuple[Store, str]] = field(default_factory=set)
    seen: dict[tuple[Store, str], tuple[bytes, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    taking: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None

    def words(self) -> bytes:
        """What a claim says; never the same twice."""
        beat = uuid.uuid4().hex
        said = {"place": place(), "process": os.getpid(), "owner": self.owner, "beat": beat}
        return json.dumps(said).encode()

    def is_forsaken(self, store: Store, path: str, words: bytes) -> bool:
        """Whether the owner of a claim is dead, or has said nothing for too long."""
        with suppress(ValueError, KeyError, TypeError):
            said = json.loads(words)
            given_up = said["owner"] == self.owner and (store, path) not in self.held
            if given_up or is_dead(str(said["place"]), int(said["process"])):
                return True
        known = self.seen.get((store, path))
        if known is None or known[0] != words:
            self.seen[store, path] = (words, time.monotonic())
            return False
        return time.monotonic() - known[1] > PATIENCE_S

    def keep(self, store: Store, path: str) -> None:
        """Touch a claim from now on."""
        with self.lock:
            self.seen.pop((store, path), None)
            self.held.add((store, path))
            if self.thread is None:
                self.thread = threading.Thread(target=self._touch, name="claims", daemon=True)
                self.thread.start()

    def let_go(self, store: Store, path: str) -> None:
        """Remove a claim; the work is done or given up."""
        with self.lock:
            self.held.discard((store, path))
            try:
                store.remove(path)
            except Exception:  # noqa: BLE001 - the work's own error matters; a claim fades
                _log.warning("could not remove the claim %s; it fades", path)

    def _touch(self) -> None:
        while True:
            time.sleep(BEAT_S)
            with self.lock:
                for store, path in self.held:
                    try:
                        store.write(path, self.words())
                    except Exception:  # noqa: BLE001 - the next beat may get through
                        _log.warning("could not touch the claim %s", path)


def _keeper(process: int) -> _Keeper:
    """This process's; a child of a fork has its own."""
    found = _keepers.get(process)
    return found or _keepers.setdefault(process, _Keeper(f"{process}-{uuid.uuid4().hex}"))


_keepers: dict[int, _Keeper] = {}


def abandon() -> None:
    """Let go of everything that this process claims: it is about to end."""
    keeper = _keeper(os.getpid())
    for store, path in tuple(keeper.held):
        keeper.let_go(store, path)
