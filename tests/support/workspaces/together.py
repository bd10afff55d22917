"""Runs and compactions of one workspace at once, each in a process of its own.

Imports once. For every line of its standard input, which is a configuration's file and a list of
acts in JSON (fields of ``Act``), it starts a process for each act, waits for all, and answers with
what each of them noted, in JSON: pairs of a note and the second of it, from the start of the acts.
The last note is how it ended: ``done``, ``StepMissing``, ``killed``, or ``failed`` with the error,
whole, on standard error.
"""

import json
import mmap
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import NamedTuple

from workspaces.brief_report import write_brief_report
from workspaces.every_step import run_all

from tasks.compact import compact as module
from tasks.compact import remaining
from tasks.config import load_config
from tasks.io.errors import StepMissing, WorkspaceBusy
from tasks.io.store import transfers
from tasks.report.report import ReportJob

LONGEST_S = 300
"""After which a process is ended that does not end."""

AGAIN_S = 0.7
"""After which a compaction that found the workspace busy is begun again."""


class Act(NamedTuple):
    """What one process does, and when."""

    name: str
    """``run``, or ``compact``, which is begun again until the workspace is not busy."""
    seconds: float = 0.0
    """How long it waits first."""
    after: int | None = None
    """Number of the act that must be at work before these seconds count."""
    until: str = "begun"
    """The note of that act from which they count: ``begun`` or ``over``."""
    brings: tuple[str, ...] = ()
    """Files below the folder of the configuration that come to where ``later/`` has them."""
    killed_after: float | None = None
    """Seconds until it is killed; None for never."""
    killed_from: str = "begun"
    """The note from which these seconds count."""


class Notes:
    """What a process notes for its parent to read, alive or dead."""

    def __init__(self, number: int, board: mmap.mmap, pipe: int, start: float) -> None:
        self._number, self._board, self._pipe, self._start = number, board, pipe, start

    def note(self, text: str) -> None:
        """Write a line."""
        line = json.dumps([text, round(time.monotonic() - self._start, 2)])
        os.write(self._pipe, f"{line}\n".encode())
        for place, flag in enumerate(("begun", "over")):
            if text == flag:
                self._board[2 * self._number + place] = 1

    def first_step(self, _step: str) -> None:
        """Note that a run is at work, once."""
        if not self._board[2 * self._number]:
            self.note("begun")

    def wait_for(self, act: Act) -> None:
        """Wait until it is time for an act."""
        if act.after is not None:
            place = 2 * act.after + (act.until == "over")
            while not self._board[place]:
                time.sleep(0.02)
        time.sleep(act.seconds)


def without_pauses() -> None:
    """What fails is tried again at once, no file is synced, and reports are a sentence."""
    from botocore.retries.standard import ExponentialBackoff

    ExponentialBackoff.delay_amount = lambda *_: 0.0
    transfers._PAUSE_S = 0.0
    os.fsync = lambda descriptor: None
    remaining._WORKS[ReportJob] = write_brief_report


def noted(notes: Notes, act: Act) -> None:
    """Have a compaction note what it comes to: alone, at indexes, at the end of a former one."""

    def note(text):
        notes.note(text)
        if act.killed_after is not None and text == act.killed_from:
            threading.Timer(act.killed_after, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def told(name, text):
        real = getattr(module, name)

        @wraps(real)
        def call(*args):
            note(text)
            return real(*args)

        setattr(module, name, call)

    real_alone = module.alone

    @contextmanager
    def alone(workspace):
        with real_alone(workspace):
            note("begun")
            yield

    module.alone = alone
    told("_switch", "changes indexes")
    told("_clean_up", "removes what no index names")
    told("find_layouts", "looks for small shards")


def compact_when_it_can(config, notes: Notes) -> None:
    """Merge as soon as the workspace is not busy."""
    while True:
        try:
            merged = module.compact(config)
        except WorkspaceBusy:
            notes.note("busy")
            time.sleep(AGAIN_S)
        else:
            notes.note("merged" if merged else "nothing to merge")
            return


def bring(folder: Path, names) -> None:
    """Put files where they are to be, each whole or not at all, with their times."""
    for name in names:
        aside = folder / f"aside-{os.getpid()}"
        shutil.copy2(folder / "later" / name, aside)
        (folder / name).parent.mkdir(exist_ok=True)
        aside.replace(folder / name)


def do(file: Path, act: Act, notes: Notes) -> str:
    """Wait, and do an act; return how it ended."""
    signal.alarm(LONGEST_S)
    notes.wait_for(act)
    notes.note("starts")
    config = load_config(file)
    try:
        bring(file.parent, act.brings)
        if act.name == "run":
            run_all(config, notes.first_step)
        else:
            noted(notes, act)
            compact_when_it_can(config, notes)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test that started it says so
        if act.name == "compact" and isinstance(error, StepMissing):
            notes.note(str(error))
            return "StepMissing"
        traceback.print_exc()
        return "failed"
    finally:
        notes.note("over")
    return "done"


def begin(file: Path, number: int, act: Act, board: mmap.mmap, start: float) -> tuple[int, int]:
    """Start the process of an act; return its number and the end of its pipe."""
    reading, writing = os.pipe()
    if (process := os.fork()) == 0:
        os.close(reading)
        notes = Notes(number, board, writing, start)
        notes.note(do(file, act, notes))
        sys.stderr.flush()
        os._exit(0)
    os.close(writing)
    return process, reading


def main() -> None:
    """Answer lines until there are no more."""
    import diffusers, lpips, matplotlib.pyplot, prefect.flows, skimage.restoration, torchvision  # noqa: E401, F401, I001

    without_pauses()
    for line in sys.stdin:
        file, asked = json.loads(line)
        board, start = mmap.mmap(-1, 1024), time.monotonic()
        begun = [begin(Path(file), n, Act(**each), board, start) for n, each in enumerate(asked)]
        answer = []
        for process, pipe in begun:
            with os.fdopen(pipe, encoding="utf-8") as told:
                lines = [json.loads(each) for each in told]
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            board[2 * len(answer) + 1] = 1  # over, also if it was killed
            answer.append(lines if code == 0 else [*lines, [_ended_by(code), 0.0]])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _ended_by(code: int) -> str:
    return "killed" if code == -signal.SIGKILL else f"failed with {code}"


if __name__ == "__main__":
    main()
