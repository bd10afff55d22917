"""Copies of remote files on this machine's disk, kept while the files stay what they are."""

import threading
from pathlib import Path

import pyarrow as pa

from tasks.io.store.store import Store

_MOST = 8
"""Copies that a process keeps; the oldest goes first."""

_kept: dict[tuple[Store, str], tuple[str, pa.MemoryMappedFile]] = {}
_lock = threading.Lock()


def at_hand(store: Store, path: str) -> Path | pa.MemoryMappedFile:
    """The file on this machine's disk; a remote one is fetched when its version is new.

    A copy has no name any more, so the disk's room is free again when nobody reads it and
    another has come in its place, or the process has ended, in whatever way.

    Raises:
        FileNotFoundError: there is no such file.
    """
    local = store.local(path)
    if local is not None:
        return local
    with _lock:
        version = store.entry(path).version
        known = _kept.pop((store, path), None)
        if known is None or known[0] != version or not version:
            with store.fetched(path) as copy:
                known = store.entry(path).version, pa.memory_map(str(copy))
            if known[0] != version:  # replaced meanwhile: whole, but nobody knows which one
                return known[1]
        _kept[store, path] = known
        while len(_kept) > _MOST:
            del _kept[next(iter(_kept))]
        return known[1]
