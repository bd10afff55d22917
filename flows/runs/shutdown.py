"""Graceful shutdown: a process that gets SIGTERM ends in time and leaves nothing half-done."""

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
"""Seconds from SIGTERM to a forced exit; schedulers send SIGKILL half a minute after SIGTERM."""

_CALLBACKS_S = 3.0
"""Seconds that a forced exit waits for its callbacks."""

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def graceful_shutdown() -> Iterator[None]:
    """SIGTERM raises SystemExit in the block; the exit is forced if that takes too long.

    To be used in the main thread.
    """
    former = signal.signal(signal.SIGTERM, _raise_exit)
    try:
        with shutdown_deadline():
            yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def shutdown_deadline(before_exit: Callable[[], object] | None = None) -> Iterator[None]:
    """SIGTERM forces the process to exit ``GRACE_S`` later if the block still runs then.

    To exit at any moment is safe: what is published is whole, and the rest is made anew.
    Has no effect outside the main thread, where no signal arrives.

    Args:
        before_exit: called before a forced exit, in a thread and in the context variables of
            the caller; the exit waits a few seconds for it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Prefect replaces signal handlers by its own; the descriptor gets every signal even so.
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="shutdown", daemon=True).start()
    callback = None if before_exit is None else partial(copy_context().run, before_exit)
    if callback is not None:
        _callbacks.append(callback)
    try:
        yield
    finally:
        if callback is not None:
            _callbacks.remove(callback)
        signal.set_wakeup_fd(former)
        os.close(writer)


_callbacks: list[Callable[[], object]] = []
"""Of all blocks that this process is in."""


def _raise_exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _watch(reader: int) -> None:
    """Force an exit ``GRACE_S`` after SIGTERM; return when the pipe's other end is closed."""
    while signals := os.read(reader, 1):
        if signals[0] == signal.SIGTERM:
            time.sleep(GRACE_S)
            _exit_now()
    os.close(reader)


def _exit_now() -> None:
    """Give up this process's claims, so that others need not wait for them, and exit."""
    from tasks.io.ledger.owner import release_all

    threads = [threading.Thread(target=call, daemon=True) for call in (release_all, *_callbacks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CALLBACKS_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    os._exit(_TERMINATED)
