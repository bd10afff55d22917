"""A cache of remote files: copies on this machine's disk, used while the files do not change."""

import threading
from pathlib import Path

import pyarrow as pa

from tasks.io.store.store import Store

_MOST = 8
"""Copies that a process keeps; the one that was not used for longest goes first."""

_kept: dict[tuple[Store, str], tuple[str, pa.MemoryMappedFile]] = {}
_lock = threading.Lock()


def at_hand(store: Store, path: str) -> Path | pa.MemoryMappedFile:
    """Return a file as something on this machine's disk that Arrow can open.

    A local file is returned as its path. A remote one is copied, unless there is a copy of its
    present version. A copy has no name in its folder any more: its room on the disk is free
    again when the cache has dropped it and nobody reads it, or when the process has ended, in
    whatever way.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if store.local(path) is not None:
        with store.fetched(path) as local:
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
