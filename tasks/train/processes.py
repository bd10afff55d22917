"""Several processes of this machine that share each batch of a segment, on a GPU each.

Each has networks of its own, computes gradients on its part of a batch, and takes the mean over
all of them, so all networks stay equal. They end when the process that has started them does.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, distributed

from tasks.io.artifacts.parquet import write_table
from tasks.io.errors import (
    ArtifactDamaged,
    ConfigurationError,
    CorpusError,
    DotpipeError,
    ShardDamaged,
    StoreRefused,
)
from tasks.io.machine.devices import devices, pick_device
from tasks.io.machine.resources import cores
from tasks.io.store import Store
from tasks.jobs.progress import advance, reporting_to
from tasks.jobs.stopwatch import Stopwatch
from tasks.train.batches import Batches
from tasks.train.draws import Draws, Share
from tasks.train.job import TrainJob
from tasks.train.learner import Learner
from tasks.train.steps import trained
from tasks.train.table import Row, read_rows, table_of

COMMAND = (sys.executable, "-P", "-m", "tasks.train.processes")

Child = subprocess.Popen[bytes]

_STATE, _ROWS, _MEETING = "state.safetensors", "rows", "meeting"
_TOLD: dict[str, type[DotpipeError]] = {
    kind.__name__: kind
    for kind in (ArtifactDamaged, ConfigurationError, CorpusError, ShardDamaged, StoreRefused)
}
"""Errors that a process tells by their names."""


class Part(BaseModel):
    """What one of the processes is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: TrainJob
    share: Share
    device: str
    has_own_device: bool
    """Whether no other process computes on the device."""


def trained_together(job: TrainJob, learner: Learner) -> list[Row]:
    """Train a segment in several processes; return the rows of its steps.

    Args:
        job: of the segment.
        learner: takes over the state at its end.

    Raises:
        ConfigurationError, CorpusError, ArtifactDamaged, StoreRefused: as ``trained`` does.
        RuntimeError: a process has ended otherwise.
    """
    with TemporaryDirectory(prefix="dotpipe-train-") as name, ExitStack() as stack:
        folder, children = Path(name), list[Child]()
        stack.callback(_end, children)
        for part in _parts(job):
            children.append(stack.enter_context(_started(part, folder)))
        for child in children:
            threading.Thread(target=_end_with, args=(child, children), daemon=True).start()
        for _ in children[0].stdout or ():
            advance(job.train.batch)
        _require_well(children, folder)
        learner.load(folder / _STATE, _STATE)
        return read_rows(Store(name), [_ROWS])


def _parts(job: TrainJob) -> Iterator[Part]:
    """Yield what each process is told."""
    count, names = job.train.processes, devices(job.compute.device)
    for number in range(count):
        device = names[number % len(names)]
        own = len(names) >= count
        yield Part(job=job, share=Share(number, count), device=device, has_own_device=own)


def _started(part: Part, folder: Path) -> Child:
    """Start a process, and tell it its part."""
    number = part.share.number
    with (folder / f"{number}.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603
            [*COMMAND, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if number == 0 else subprocess.DEVNULL,
            stderr=log,
        )
    if child.stdin is not None:  # which stays open as long as this process lives
        child.stdin.write(part.model_dump_json().encode() + b"\n")
        child.stdin.flush()
    return child


def _end(children: Sequence[Child]) -> None:
    for child in children:
        child.kill()


def _end_with(child: Child, children: Sequence[Child]) -> None:
    """Wait for a process, and end the others if it has failed: they would wait for it."""
    if child.wait():
        _end(children)


def _require_well(children: Sequence[Child], folder: Path) -> None:
    """Wait for all processes, and check that they have done their part.

    Raises:
        DotpipeError, RuntimeError: one has failed.
    """
    statuses = [child.wait() for child in children]
    if not any(statuses):
        return
    for told in sorted(folder.glob("*.error")):
        kind, message = json.loads(told.read_text("utf-8"))
        raise _TOLD[kind](message)
    logs = ((folder / f"{n}.log").read_text("utf-8", "replace") for n in range(len(children)))
    last = next((log.strip().splitlines()[-1] for log in logs if log.strip()), "they said nothing")
    raise RuntimeError(
        f"the processes of the training must end well, got exit statuses {statuses}: {last}"
    )


class _Group:
    """The processes that share a batch, as one of them sees the others."""

    def __init__(self, part: Part, folder: Path) -> None:
        """Meet the others, in a file of the folder."""
        is_gpu = part.device.startswith("cuda") and part.has_own_device
        number, count = part.share
        distributed.init_process_group(
            "nccl" if is_gpu else "gloo",
            init_method=(folder / _MEETING).as_uri(),
            rank=number,
            world_size=count,
        )
        self._processes = count

    def __call__(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over all processes, in place."""
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self._processes
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def _work(part: Part, folder: Path) -> None:
    """Train a part of a segment; the first process writes what came of it."""
    job, share, device = part.job, part.share, pick_device(part.device)
    torch.set_num_threads(max(1, cores() // share.processes))
    group, workspace = _Group(part, folder), job.opened()
    with ThreadPoolExecutor(cores()) as pool, reporting_to(_tell):
        batches = Batches(job, workspace, Draws(job, workspace, share), pool)
        learner, rows = trained(job, device, batches, Stopwatch(), group)
    if share.number == 0:
        learner.save(folder / _STATE)
        write_table(table_of(rows), folder / f"{_ROWS}.parquet")
    distributed.destroy_process_group()


def _tell(_images: int) -> None:
    sys.stdout.write("\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # a buffered reader would hold its lock to the end
        pass
    os._exit(1)


def main() -> None:
    """Do what the first line of the standard input says; end when that is closed."""
    folder = Path(sys.argv[1])
    part = Part.model_validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _work(part, folder)
    except DotpipeError as error:
        kind = next((each.__name__ for each in type(error).__mro__ if each.__name__ in _TOLD), None)
        if kind is None:
            raise
        path = folder / f"{part.share.number}.error"
        path.write_text(json.dumps([kind, str(error)]), "utf-8")
        os._exit(1)


if __name__ == "__main__":
    main()
