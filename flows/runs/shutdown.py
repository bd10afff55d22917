"""The end of a process that was told to end: soon, and with nothing half-done."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from types import FrameType

GRACE_S = 15.0
"""After SIGTERM; schedulers wait half a minute before they kill."""

_FAREWELL_S = 3.0
"""After that, for last words."""

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def in_time() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C does, and the process if that takes too long.

    For the main thread.
    """
    former = signal.signal(signal.SIGTERM, _end)
    try:
        with soon():
            yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def soon(last_words: Callable[[], object] | None = None) -> Iterator[None]:
    """SIGTERM ends the process after a while, if what heeds it in the block takes longer.

    Ending at any moment is safe: what is published is whole, and the rest is made anew.
    Has no effect outside the main thread, where no signal arrives.

    Args:
        last_words: called if it comes to that, in a thread, and waited for a few seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Prefect puts handlers of its own over ours; the descriptor tells of signals even so.
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="ending", daemon=True).start()
    words = None if last_words is None else partial(copy_context().run, last_words)
    if words is not None:
        _last_words.append(words)
    try:
        yield
    finally:
        if words is not None:
            _last_words.remove(words)
        signal.set_wakeup_fd(former)
        os.close(writer)


_last_words: list[Callable[[], object]] = []
"""Of all blocks that last."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _watch(reader: int) -> None:
    """Wait for SIGTERM, and then only so long."""
    while signals := os.read(reader, 1):
        if signals[0] == signal.SIGTERM:
            time.sleep(GRACE_S)
            _leave()
    os.close(reader)


def _leave() -> None:
    """End this process now; its claims go, so that others need not wait for them."""
    from tasks.io.ledger.owner import release_all

    parting = [threading.Thread(target=words, daemon=True) for words in (release_all, *_last_words)]
    for thread in parting:
        thread.start()
    deadline = time.monotonic() + _FAREWELL_S
    for thread in parting:
        thread.join(max(0.0, deadline - time.monotonic()))
    os._exit(_TERMINATED)
