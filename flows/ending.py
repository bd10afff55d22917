"""The end of a process that was told to end: soon, and with nothing half-done."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_S = 15.0
"""After SIGTERM; schedulers wait half a minute before they kill."""

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
def soon() -> Iterator[None]:
    """SIGTERM ends the process after a while, if what heeds it in the block takes longer.

    Ending at any moment is safe: what is published is whole, and the rest is made anew.
    Has no effect outside the main thread, where no signal arrives.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Prefect puts handlers of its own over ours; the descriptor tells of signals even so.
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="ending", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        os.close(writer)


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
    from tasks.io.claims import abandon

    threading.Thread(target=abandon, daemon=True).start()
    time.sleep(1.0)
    os._exit(_TERMINATED)
