"""Runs and compactions of one workspace at once, each in a process of its own.

Imports once. For every line of its standard input, which is a configuration's file and pairs
(seconds, ``run`` or ``compact``) in JSON, it starts a process for each pair after so many seconds,
waits for all, and answers with how each ended: ``done``, the name of an error that says to wait or
to run first, or ``failed`` with the error, whole, on standard error.
"""

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from workspaces.every_step import run_all

from tasks.compact.compact import compact
from tasks.config import load_config
from tasks.io.errors import StepMissing, WorkspaceBusy
from tasks.io.store import transfers

LONGEST_S = 300
"""After which a process is ended that does not end."""

ENDS = ("done", "WorkspaceBusy", "StepMissing", "failed")


def without_pauses() -> None:
    """What fails is tried again at once, and no file is synced."""
    from botocore.retries.standard import ExponentialBackoff

    ExponentialBackoff.delay_amount = lambda *_: 0.0
    transfers._PAUSE_S = 0.0
    os.fsync = lambda descriptor: None


def act(file: Path, seconds: float, name: str) -> int:
    """Wait, and do it; return the number of how it ended."""
    signal.alarm(LONGEST_S)
    time.sleep(seconds)
    config = load_config(file)
    try:
        if name == "run":
            run_all(config, lambda _step: None)
        else:
            compact(config)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test that started it says so
        if name == "compact" and isinstance(error, (WorkspaceBusy, StepMissing)):
            return ENDS.index(type(error).__name__)
        traceback.print_exc()
        return ENDS.index("failed")
    return ENDS.index("done")


def main() -> None:
    """Answer lines until there are no more."""
    import diffusers, lpips, matplotlib.pyplot, prefect.flows, skimage.restoration, torchvision  # noqa: E401, F401, I001

    without_pauses()
    for line in sys.stdin:
        file, pairs = json.loads(line)
        begun = []
        for seconds, name in pairs:
            if (process := os.fork()) == 0:
                code = act(Path(file), seconds, name)
                sys.stderr.flush()
                os._exit(code)
            begun.append(process)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in begun]
        ends = [ENDS[code] if code >= 0 else signal.Signals(-code).name for code in codes]
        sys.stdout.write(json.dumps(ends) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
