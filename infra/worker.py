"""A Prefect worker of type process that lets its flow runs end when it is told to stop.

`python -m infra.worker --pool dotpipe` is `prefect worker start --type process --pool dotpipe`
with another end. Left to itself, that worker answers SIGTERM by killing its flow runs, which
the server then believes to be running. Here the worker is halted first, so that it takes
no new run; every flow run gets SIGTERM, ends the shards in hand if that takes seconds, and
tells the server itself; then the worker goes. How long all that may take is up to whoever sent
the signal: `stop_grace_period` of a container.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_LOOK_S = 0.2


def main(words: Sequence[str]) -> int:
    """The worker's exit code, when it has ended.

    Args:
        words: options of `prefect worker start`.
    """
    # The worker ends itself by SIGINT, which it would inherit as ignored from some shells.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process", *words]
    # What whoever began this process gave it to hold is held by the worker too.
    worker = subprocess.Popen(command, close_fds=False)  # noqa: S603 - our own interpreter
    signal.signal(signal.SIGTERM, lambda *_: _stop(worker))
    return worker.wait()


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Halt the worker, let its flow runs end, then let the worker end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker.send_signal(signal.SIGSTOP)
    for run in _flow_runs(worker.pid):
        os.kill(run, signal.SIGTERM)
    while _flow_runs(worker.pid):
        time.sleep(_LOOK_S)
    worker.send_signal(signal.SIGCONT)
    worker.send_signal(signal.SIGTERM)


def _flow_runs(worker: int) -> list[int]:
    """The flow runs of a worker that have not ended, as process numbers."""
    tasks = Path(f"/proc/{worker}/task").glob("*/children")
    children = [int(word) for path in tasks for word in path.read_text().split()]
    return [child for child in children if _is_flow_run(child)]


def _is_flow_run(process: int) -> bool:
    """Whether a process is one of Prefect's, and at work: who has ended has no command line."""
    try:
        return b"prefect" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
