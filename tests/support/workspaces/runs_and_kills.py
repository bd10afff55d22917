"""Runs of `dotpipe shard` at once, each in a process of its own that may kill itself at a place.

Imports once. For every line of its standard input, which is a configuration's file and a list of
places in JSON, it starts a process for each: null for a run to its end, or where the run ends by
SIGKILL, as ``["module:Owner.function", 3]`` for the third call. It answers with their exit codes.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from workspaces.every_step import do_units

from flows.runs.presence import at_work
from tasks.config import Config, Run, load_config
from tasks.pipeline import whole_pipeline

LONGEST_S = 120
"""After which a process is ended that does not end."""


def kill_at(place: str, count: int) -> None:
    """Have the process die at a call of a function."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real, calls = getattr(owner, name), iter(range(1, count))

    def deadly(*args, **options):
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    setattr(owner, name, deadly)


@at_work
def shard(config: Config) -> None:
    """Make what is missing of the data sets, as the flow does it, without Prefect."""
    run = Run.of(config)
    run.workspace.store.sweep()
    run.workspace.claims.sweep()
    for step in whole_pipeline(run):
        if step.verb != "shard":
            continue
        fingerprints = do_units(step.plan(), step.work.fn)
        if step.closing is not None and (job := step.closing.plan(fingerprints)) is not None:
            step.closing.work.fn(job)


def child(file: str, place: list | None) -> int:
    """Run to the end, or to the kill; return the exit code."""
    signal.alarm(LONGEST_S)
    if place is not None:
        kill_at(*place)
    try:
        shard(load_config(Path(file)))
    except Exception:  # noqa: BLE001 - whatever it is, the test that started it says so
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Answer lines until there are no more."""
    os.fsync = lambda descriptor: None  # nobody pulls the plug
    for line in sys.stdin:
        file, places = json.loads(line)
        begun = []
        for place in places:
            if (process := os.fork()) == 0:
                code = child(file, place)
                sys.stderr.flush()
                os._exit(code)
            begun.append(process)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in begun]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
