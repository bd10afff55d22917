"""Graceful shutdown: a process that gets SIGTERM ends in time and leaves nothing half-done."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from types import FrameType
from typing import NoReturn

GRACE_S = 15.0
"""Seconds from SIGTERM to a forced exit; schedulers send SIGKILL half a minute after SIGTERM."""

_CALLBACKS_S = 3.0
"""Seconds that a forced exit waits for its callbacks."""

_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def graceful_shutdown(at_once: Callable[[], object] | None = None) -> Iterator[None]:
    """SIGTERM raises SystemExit in the block; the exit is forced if that takes too long.

    To be used in the main thread.

    Args:
        at_once: called in another thread as soon as the signal comes, to say so.
    """
    former = signal.signal(signal.SIGTERM, _raise_exit)
    try:
        with _among(_told_at_once, at_once), shutdown_deadline():
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
    try:
        with _among(_callbacks, callback):
            yield
    finally:
        signal.set_wakeup_fd(former)
        os.close(writer)


@contextmanager
def _among(calls: list[Callable[[], object]], call: Callable[[], object] | None) -> Iterator[None]:
    """Have a call, if it is one, among others for as long as the block runs."""
    if call is None:
        yield
        return
    calls.append(call)
    try:
        yield
    finally:
        calls.remove(call)


_callbacks: list[Callable[[], object]] = []
"""Of all blocks that this process is in."""

_told_at_once: list[Callable[[], object]] = []
"""What is called as soon as the signal comes, whichever block's descriptor gets it."""


def _raise_exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _watch(reader: int) -> None:
    """Force an exit ``GRACE_S`` after SIGTERM; return when the pipe's other end is closed."""
    while signals := os.read(reader, 1):
        if signals[0] == signal.SIGTERM:
            for tell in tuple(_told_at_once):
                tell()
            time.sleep(GRACE_S)
            leave(_TERMINATED)
    os.close(reader)


def leave(code: int) -> NoReturn:
    """Give up this process's claims, so that others need not wait for them, and exit.

    The interpreter is not taken down. Threads may still be in torch or Arrow, as when a person
    does not wait after Ctrl-C and presses it again; such a thread is ended when it asks for the
    interpreter next, and the unwinding of its C++ frames aborts the process with ``terminate
    called without an active exception``.

    Args:
        code: the exit status.
    """
    from tasks.io.ledger.owner import release_all

    threads = [threading.Thread(target=call, daemon=True) for call in (release_all, *_callbacks)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + _CALLBACKS_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
