"""Claims: who is at work on what, so that two runs on one workspace share the work.

A claim is a small file that its owner makes only if there is none (a conditional write),
touches now and then, and removes when the work is done or given up. One whose owner is
known to be dead, or that has not been touched for ``PATIENCE_S`` while this process
watched it, is broken. No clock is compared with another machine's.

Claims save work; they do not guard it. Where two runs break one claim in the same moment,
or make one in the same moment in a store without conditional writes, both do the work,
and as their results are the same bytes under the same names, nothing is wrong.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from tasks.io.machine.processes import is_dead, place
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
        path, keeper = _path_of(name), _keeper(os.getpid())
        while not (ours := self._take(path, keeper)) and patient:
            time.sleep(_GLANCE_S)
        if not ours:
            yield False
            return
        try:
            yield True
        finally:
            keeper.let_go(self.store, path)

    def names(self) -> list[str]:
        """What is claimed, by whomever, dead or alive."""
        return sorted(map(_name_of, self.store.names(CLAIMS)))

    def alive(self) -> list[str]:
        """What is claimed by those who may be at work; claims of the dead are removed.

        A claim from elsewhere is watched until it is renewed, or has not been for
        ``PATIENCE_S``; those of this place are judged at once.
        """
        return sorted(map(_name_of, self._watch(self.store.names(CLAIMS))))

    def is_alive(self, name: str) -> bool:
        """Whether somebody may be at this work; watches a claim as ``alive`` does."""
        return bool(self._watch([_path_of(name)]))

    def is_silent(self, name: str) -> bool:
        """Whether nobody is known to be at this work: no claim, or a dead one. Never waits."""
        return self._look(_path_of(name), {}) == "gone"

    def _watch(self, paths: Iterable[str]) -> set[str]:
        """Those of some claims whose owners may be alive; the others are removed."""
        first, alive, waiting = dict[str, bytes](), set[str](), list(paths)
        while waiting:
            pause = time.monotonic() + _GLANCE_S
            states = {path: self._look(path, first) for path in waiting}
            alive |= {path for path, state in states.items() if state == "alive"}
            waiting = [path for path, state in states.items() if state == "unknown"]
            if waiting:
                time.sleep(max(0.0, pause - time.monotonic()))
        return alive

    def sweep(self) -> None:
        """Remove the claims of dead processes of this place."""
        for path in list(self.store.names(CLAIMS)):
            self._look(path, {})

    def _look(self, path: str, first: dict[str, bytes]) -> Literal["alive", "gone", "unknown"]:
        """What a claim is seen to be; ``first`` keeps what it said at the first look."""
        keeper = _keeper(os.getpid())
        with keeper.taking:  # or what this process has made and does not keep yet were given up
            try:
                words = self.store.read(path)
            except FileNotFoundError:  # let go of
                keeper.seen.pop((self.store, path), None)
                return "gone"
            if keeper.is_forsaken(self.store, path, words):
                _log.warning("removed the claim of a dead run on %s", path)
                self.store.remove(path)
                keeper.seen.pop((self.store, path), None)
                return "gone"
        renewed = first.setdefault(path, words) != words
        return "alive" if renewed or _said(words).get("place") == place() else "unknown"

    def _take(self, path: str, keeper: "_Keeper") -> bool:
        """Make and keep a claim, over a dead one too; whether it is ours now."""
        ours = keeper.words()
        with keeper.taking:  # or another thread would take what is not kept yet for given up
            taken = self._make(path, keeper, ours)
            if taken:
                keeper.keep(self.store, path, ours)
            return taken

    def _make(self, path: str, keeper: "_Keeper", ours: bytes) -> bool:
        """Whether a claim was made."""
        if _make_file(self.store, path, ours):
            return True
        try:
            words = self.store.read(path)
        except FileNotFoundError:  # let go of in this moment
            return _make_file(self.store, path, ours)
        if words == ours:
            return True  # made by a request whose answer got lost, and which was repeated
        if not keeper.is_forsaken(self.store, path, words):
            return False
        _log.warning("broke the claim of a dead run on %s", path)
        self.store.remove(path)
        return _make_file(self.store, path, ours)


class _Claim:
    """A claim that this process holds."""

    def __init__(self, store: Store, path: str, words: bytes) -> None:
        self._store, self._path = store, path
        self._said = {words}
        """What we may have written last: more than one where an answer got lost."""
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._touched = False

    def keep(self, words: Callable[[], bytes]) -> None:
        """Touch the claim with ever new words, from now until it is let go.

        A thread of its own does so: a request that hangs keeps no other claim waiting.
        """
        if not self._touched:
            self._touched = True
            args = (words,)
            threading.Thread(target=self._touch, args=args, name="claim", daemon=True).start()

    def let_go(self) -> None:
        """Remove the claim unless another run has taken it over."""
        self._ended.set()
        with self._lock:
            try:
                if self._words() in self._said:
                    self._store.remove(self._path)
            except Exception:  # noqa: BLE001 - the work's own error matters; a claim fades
                _log.warning("could not remove the claim %s; it fades", self._path)

    def _touch(self, words: Callable[[], bytes]) -> None:
        while not self._ended.is_set():
            with self._lock:
                if self._ended.is_set():
                    return
                try:
                    self._renew(words())
                except Exception:  # noqa: BLE001 - the next beat may get through
                    _log.warning("could not touch the claim %s", self._path)
            self._ended.wait(BEAT_S)

    def _renew(self, words: bytes) -> None:
        """Say that we are at work; also where the claim was taken for dead and nobody has it."""
        there = self._words()
        if there is None:
            self._said.add(words)
            _make_file(self._store, self._path, words)
        elif there in self._said:
            self._said.add(words)
            self._store.write(self._path, words)
            self._said = {words}

    def _words(self) -> bytes | None:
        """What lies there: after a long silence it may be nothing, or another run's."""
        try:
            return self._store.read(self._path)
        except FileNotFoundError:
            return None


@dataclass
class _Keeper:
    """What one process claims, and what it has seen of the claims of others."""

    owner: str
    held: dict[tuple[Store, str], _Claim] = field(default_factory=dict)
    seen: dict[tuple[Store, str], tuple[bytes, float]] = field(default_factory=dict)
    taking: threading.Lock = field(default_factory=threading.Lock)
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Of ``held`` and ``keeping``; no request is made under it."""
    keeping: bool = False
    """Whether a thread looks after the claims that are held."""

    def words(self) -> bytes:
        """What a claim says; never the same twice."""
        beat = uuid.uuid4().hex
        said = {"place": place(), "process": os.getpid(), "owner": self.owner, "beat": beat}
        return json.dumps(said).encode()

    def is_forsaken(self, store: Store, path: str, words: bytes) -> bool:
        """Whether the owner of a claim is dead, or has said nothing for too long."""
        said = _said(words)
        with suppress(ValueError, KeyError, TypeError):
            given_up = said["owner"] == self.owner and (store, path) not in self.held
            if given_up or is_dead(str(said["place"]), int(said["process"])):
                return True
        known = self.seen.get((store, path))
        if known is None or known[0] != words:
            self.seen[store, path] = (words, time.monotonic())
            return False
        return time.monotonic() - known[1] > PATIENCE_S

    def keep(self, store: Store, path: str, words: bytes) -> None:
        """Touch a claim, which says this, from now on."""
        self.seen.pop((store, path), None)
        with self.lock:
            self.held[store, path] = _Claim(store, path, words)
            watched, self.keeping = self.keeping, True
        if not watched:
            threading.Thread(target=self._look_after, name="claims", daemon=True).start()

    def _look_after(self) -> None:
        """Have what is held at a beat touched from then on, while anything is held.

        Most claims are let go before a beat, and cost no thread.
        """
        while True:
            time.sleep(BEAT_S)
            with self.lock:
                claims = list(self.held.values())
                self.keeping = bool(claims)
            if not claims:
                return
            for claim in claims:
                claim.keep(self.words)

    def let_go(self, store: Store, path: str) -> None:
        """Remove a claim; the work is done or given up."""
        claim = self.held.get((store, path))
        if claim is None:
            return
        claim.let_go()
        with self.lock:
            if self.held.get((store, path)) is claim:  # no thread has taken it since
                del self.held[store, path]


def _make_file(store: Store, path: str, words: bytes) -> bool:
    """Make a claim's file unless there is one; whether this call made it.

    Where a store has no conditional writes, two calls in one moment may both have made it.
    """
    made = store.create(path, words)
    if made is not None:
        return made
    if store.exists(path):
        return False
    store.write(path, words)
    return True


def _said(words: bytes) -> dict[str, Any]:
    """What a claim says; nothing where it makes no sense."""
    try:
        said = json.loads(words)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _path_of(name: str) -> str:
    return f"{CLAIMS}/{name}.json"


def _name_of(path: str) -> str:
    return path.removeprefix(f"{CLAIMS}/").removesuffix(".json")


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
