"""A Prefect worker of type process whose flow runs shut down gracefully on SIGTERM.

`python -m infra.worker --pool dotpipe` starts `prefect worker start --type process --pool
dotpipe` and differs from it on SIGTERM only. That worker kills its flow runs, which the server
then believes to be running. Here the worker is stopped (SIGSTOP) first, so that it starts no
new run. Every flow run then gets SIGTERM, finishes its current shards if that takes seconds,
and reports its state to the server; the worker is terminated last. There is no timeout: the
sender of the signal decides how long to wait, as a container does by `stop_grace_period`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dotpipe import claim_names

_POLL_S = 0.2
"""Seconds between two looks at which flow runs are still alive."""


def main(words: Sequence[str]) -> int:
    """Start the worker, wait for its end, and return its exit code.

    Args:
        words: options of `prefect worker start`.
    """
    claim_names()
    # The worker ends itself by SIGINT, which it would inherit as ignored from some shells.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", *words]
    # The worker inherits open files, such as a lock that the starter of this process gave it.
    worker = subprocess.Popen(command, close_fds=False)  # noqa: S603 - our own interpreter
    signal.signal(signal.SIGTERM, lambda *_: _stop(worker))
    return worker.wait()


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Stop the worker, terminate its flow runs and wait for them, then terminate the worker."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker.send_signal(signal.SIGSTOP)
    for run in _flow_runs(worker.pid):
        os.kill(run, signal.SIGTERM)
    while _flow_runs(worker.pid):
        time.sleep(_POLL_S)
    worker.send_signal(signal.SIGCONT)
    worker.send_signal(signal.SIGTERM)


def _flow_runs(worker: int) -> list[int]:
    """Process ids of a worker's flow runs that have not ended."""
    tasks = Path(f"/proc/{worker}/task").glob("*/children")
    children = [int(word) for path in tasks for word in path.read_text("ascii").split()]
    return [child for child in children if _is_flow_run(child)]


def _is_flow_run(process: int) -> bool:
    """Whether a process runs Prefect and has not ended; a zombie's command line is empty."""
    try:
        return b"prefect" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
