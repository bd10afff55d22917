"""What the terminal shows while a command works: bars or lines, and the last words."""

import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import strftime
from types import FrameType
from typing import TYPE_CHECKING

from flows.cli.terminal import complain, console, is_watched, working
from flows.runs.shutdown import graceful_shutdown, leave
from flows.steps.screen import screen

if TYPE_CHECKING:
    from rich.console import Console

    from flows.runs.run_log import RunLog
    from flows.steps.lines import Lines
    from flows.steps.screen import Screen
    from tasks.config import Config

_STOPPED = "what is done is kept, run again to go on"


@contextmanager
def stopping() -> Iterator[None]:
    """Have a command that is told to end say so, and leave without waiting for its threads."""

    def at_once(_number: int, _frame: FrameType | None) -> None:  # nothing has been begun
        complain(f"stopped; {_STOPPED}")
        leave(128 + signal.SIGTERM)

    _stopped.clear()
    try:
        former = signal.signal(signal.SIGTERM, at_once)
    except ValueError:  # not in the main thread, where no signal comes
        yield
        return
    try:
        yield
    except SystemExit as end:
        if _stopped and _others_are_at_work():
            leave(end.code if isinstance(end.code, int) else 1)
        raise
    finally:
        signal.signal(signal.SIGTERM, former)


def _others_are_at_work() -> bool:
    """Whether there are threads for which the interpreter would wait at its end."""
    others = (each for each in threading.enumerate() if each is not threading.main_thread())
    return any(not each.daemon for each in others)


_stopped: list[BaseException] = []
"""By what the work of a command was stopped, if it was."""


@contextmanager
def watched(
    config: "Config",
    command: str,
    first: "Callable[[Config, Console], object] | None" = None,
) -> Iterator[None]:
    """Run a Prefect server, and show and log the steps of the flows that the block runs.

    On a terminal there are bars, elsewhere lines. SIGTERM ends the block like Ctrl-C does. A block
    within another shares its server, screen and log, and does nothing first.

    Args:
        config: of the run, whose workspace gets the log.
        command: the verb.
        first: what is done before the log and the server are begun.
    """
    if is_watched():
        yield
        return
    with working("starting"):
        from flows.runs.run_log import run_log
        from flows.service.server import prefect_server

    _use_filters()
    terminal = _console()
    with ExitStack() as stack:
        told = _LastWords(terminal)
        stack.enter_context(graceful_shutdown(told.say))
        try:
            if first is not None:
                first(config, terminal)
            log = told.log = stack.enter_context(run_log(config, command))
            with busy(terminal, "starting Prefect"):
                server = stack.enter_context(prefect_server())
            view, shown, told.stop = _view(terminal, server, log)
            with _showing(view), shown:
                yield
        except (KeyboardInterrupt, SystemExit) as stop:
            _stopped.append(stop)
            told.say()
            raise


@contextmanager
def busy(terminal: "Console", doing: str) -> "Iterator[Callable[[str], None]]":
    """Show what is being done while the block runs: beside a spinner, or elsewhere in one line.

    Yields:
        what says which part of it is begun; a spinner alone has room for that.
    """
    if not terminal.is_terminal:
        terminal.print(doing)
    with terminal.status(doing) as status:
        yield lambda part: status.update(f"{doing}: {part}")


def tell_ready(config: "Config", terminal: "Console") -> None:
    """Check all that a run needs, and print what its results will lack.

    Raises:
        ConfigurationError: something would make it fail; all of it is told at once.
    """
    from flows.runs.run_log import unheard
    from tasks.jobs.progress import reporting_to
    from tasks.upkeep.check import require_ready

    with busy(terminal, "checking") as at, reporting_to(lambda _: None, follower=at), unheard():
        lacking = require_ready(config)
    for sentence in lacking:
        terminal.print(f"note: {sentence}", style="yellow", soft_wrap=True, highlight=False)


class _LastWords:
    """Says that the work was stopped and where; once, by whichever thread comes first."""

    def __init__(self, terminal: "Console") -> None:
        self._terminal, self._said = terminal, False
        self.stop: Callable[[], str] = str
        self.log: RunLog | None = None

    def say(self) -> None:
        """Print the sentence."""
        if self._said:
            return
        self._said = True
        at = self.stop()
        sentence = f"stopped{f' at {at}' if at else ''}; {_STOPPED}"
        self._terminal.print(sentence, soft_wrap=True, highlight=False)
        if self.log is not None:
            self.log.write(sentence)


@contextmanager
def _showing(view: "Screen") -> Iterator[None]:
    """Have the flows of the block show their steps on a screen."""
    token = screen.set(view)
    try:
        yield
    finally:
        screen.reset(token)


def _console() -> "Console":
    """A console on what is standard error now: later, what libraries print goes to the log."""
    terminal = console(stderr=True)
    terminal.file = sys.stderr
    return terminal


def _use_filters() -> None:
    from PIL import Image

    # Images over our own limit are refused with a reason; Pillow need not warn as well.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", "torch.meshgrid")  # in networks that spandrel brings


def _view(
    terminal: "Console", server: str, log: "RunLog | None"
) -> "tuple[Screen, AbstractContextManager[object], Callable[[], str]]":
    """What shows the steps, the block in which it does, and what stops it and says where."""
    from flows.steps.bars import Bars
    from flows.steps.lines import Lines
    from flows.steps.screen import Both

    def show(line: str) -> None:
        terminal.print(f"{strftime('%H:%M:%S')} {line}", soft_wrap=True, highlight=False)

    def write(line: str) -> None:
        if log is not None:
            log.write(line)

    dashboard = f"dashboard while this runs: {server}"
    if log is not None:
        terminal.print(f"log: {log.address}", soft_wrap=True, highlight=False)
    if not terminal.is_terminal:
        show(dashboard)

        def show_and_write(line: str) -> None:
            show(line)
            write(line)

        lines = Lines(show_and_write)
        return lines, lines.shown(), lines.stop
    bars, lines = Bars(terminal, dashboard), Lines(write)
    return Both(bars, lines), _both(bars.shown(), lines), lines.stop


@contextmanager
def _both(bars: AbstractContextManager[None], lines: "Lines") -> Iterator[None]:
    with bars, lines.shown():
        yield
