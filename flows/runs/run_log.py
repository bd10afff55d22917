"""The log of a run: a file in its workspace, for what the terminal has no room for.

    logs/<configuration>/2026-11-28T21-07-13-run-<process>.log

It holds a line for every shard and step, what the terminal is told, and what libraries have to
say: their log records and warnings, and whatever they print. A local file grows as the run goes
on; into a bucket, which cannot append, the file is written again every five minutes and at the
end. The newest twenty of each configuration are kept.
"""

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from flows.runs.printed import Printed
from tasks.config import Config
from tasks.io.errors import DotpipeError
from tasks.io.store import Store, temporary_room
from tasks.io.workspace import LOGS, Workspace

KEPT = 20
"""Logs of one configuration that are kept, this run's included."""

PERIOD_S = 300.0
"""Seconds after which the log of a run is written into a bucket again."""

_FOREIGN = ("diffusers", "huggingface_hub", "transformers", "torch", "botocore", "urllib3")
"""Loggers of libraries that may have handlers of their own, which write to the terminal."""

logger = logging.getLogger("dotpipe")
"""What the terminal is told is told to this one too."""


class RunLog:
    """The log of a run while it is written.

    Attributes:
        address: path or URL of the file.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def write(self, line: str) -> None:
        """Write a line that the terminal is told too."""
        logger.info("%s", line)


@contextmanager
def run_log(config: Config, command: str) -> Iterator[RunLog | None]:
    """Keep a log for as long as the block runs; None where the workspace takes no file.

    The run then says itself that it cannot write. What is printed in the block goes to the log
    and not to the terminal, except through consoles that hold the stream.

    Args:
        config: of the run.
        command: the verb, for the file's name.
    """
    store = Workspace(config.workspace).store
    moment = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime())
    path = f"{LOGS}/{config.name}/{moment}-{command}-{os.getpid()}.log"
    with ExitStack() as stack:
        file = _opened(store, path, stack)
        if file is None:
            yield None
            return
        stack.enter_context(_recorded(file))
        with suppress(OSError, DotpipeError):
            prune(store, f"{LOGS}/{config.name}")
        try:
            yield RunLog(store.address(path))
        except Exception as error:
            logger.error("the run has failed", exc_info=error)
            raise


@contextmanager
def unheard() -> Iterator[None]:
    """Let libraries say nothing while the block runs, for commands that keep no log."""
    with _recorded(Path(os.devnull)):
        yield


def prune(store: Store, folder: str) -> None:
    """Remove the oldest logs of a folder, so that ``KEPT`` are left."""
    for path in sorted(store.names(folder))[:-KEPT]:
        store.remove(path)


def _opened(store: Store, path: str, stack: ExitStack) -> Path | None:
    """Return a local file to append to, which is the log or becomes it; None if there can be none.

    Args:
        store: the workspace.
        path: of the log in it.
        stack: closes what keeps the log in a bucket up to date.
    """
    local = store.local(path)
    try:
        if local is not None:
            local.parent.mkdir(parents=True, exist_ok=True)
            local.touch()
            return local
        with temporary_room():
            handle, name = tempfile.mkstemp(prefix="dotpipe-run-", suffix=".log")
        os.close(handle)
        copy = Path(name)
        stack.callback(copy.unlink, missing_ok=True)
        stack.enter_context(_uploaded(store, path, copy))
        return copy
    except (OSError, DotpipeError):
        return None


@contextmanager
def _uploaded(store: Store, path: str, copy: Path) -> Iterator[None]:
    """Write a file into a bucket now and then while the block runs, and when it has ended."""
    ended = threading.Event()

    def write() -> None:
        with suppress(OSError, DotpipeError):  # the run itself says that the store is away
            store.write(path, copy.read_bytes())

    def keep_writing() -> None:
        while not ended.wait(PERIOD_S):
            write()

    writer = threading.Thread(target=keep_writing, name="log", daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        write()


@contextmanager
def _recorded(file: Path) -> Iterator[None]:
    """Append to a file what is logged, warned of or printed while the block runs."""
    handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    form.converter = time.gmtime
    handler.setFormatter(form)
    handler.setLevel(logging.INFO)
    with ExitStack() as stack:
        stack.callback(handler.close)
        for name in ("", "prefect.extra", "prefect._internal"):  # the latter pass nothing on
            stack.enter_context(_heard(logging.getLogger(name), handler))
        for name in ("dotpipe", "tasks"):
            stack.enter_context(_from_info(logging.getLogger(name)))
        for name in _FOREIGN:
            stack.enter_context(_passed_on(logging.getLogger(name)))
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        printed = Printed(logging.getLogger("dotpipe.printed"))
        stack.enter_context(redirect_stdout(printed))
        stack.enter_context(redirect_stderr(printed))
        yield


@contextmanager
def _heard(source: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    source.addHandler(handler)
    try:
        yield
    finally:
        source.removeHandler(handler)


@contextmanager
def _from_info(source: logging.Logger) -> Iterator[None]:
    """Have a logger take records of the level INFO too."""
    level = source.level
    source.setLevel(logging.INFO)
    try:
        yield
    finally:
        source.setLevel(level)


@contextmanager
def _passed_on(source: logging.Logger) -> Iterator[None]:
    """Have a library's logger pass everything on, and show nothing by handlers of its own."""
    handlers, passes_on = list(source.handlers), source.propagate
    source.handlers, source.propagate = [], True
    try:
        yield
    finally:
        source.handlers, source.propagate = handlers, passes_on
