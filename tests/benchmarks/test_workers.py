"""Two workers on two processors against one worker on one."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from servers.child_processes import busy_s
from servers.prefect_service import prefect_service
from workspaces import plain_pipeline as pipeline

from tasks.config import Run
from tasks.config.compute import Shards
from tasks.config.sections import Enhance
from tasks.enhance.match import plan_matches, write_matches
from tasks.io.workspace import Workspace
from tasks.pipeline import is_finished

IMAGES, SHARD = 1024, 32

WORKER = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
from pathlib import Path
from flows.enhance_dataset import enhance_dataset
from tasks.config.config import Config
config = Config.model_validate_json(Path(sys.argv[2]).read_text())
print("ready", flush=True)
sys.stdin.readline()
enhance_dataset(config)
print("done", flush=True)
"""
"""What `dotpipe enhance` does, on one processor, from the moment on when all is imported."""


@pytest.fixture
def prepared(make_config, photographs, tmp_path):
    """A configuration with shards and an operator; nothing is enhanced."""
    config = make_config(
        photographs(IMAGES, 256), shards=Shards(images=SHARD), enhance=Enhance(alphas=(0.0, 0.5))
    )
    workspace = Workspace(config.workspace)
    pipeline.shard(config, workspace)
    pipeline.fit(config, workspace)
    write_matches(plan_matches(Run(config, workspace)))
    return config


@contextmanager
def on_processors(processors):
    """What the block starts has these processors only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Pace(NamedTuple):
    """How fast all workers together were, and what the same images took of processors."""

    images_per_second: float
    workers_s: float
    server_s: float

    def __str__(self):
        return (
            f"{self.images_per_second:.1f} images per second ({self.workers_s:.1f} s of processors "
            f"for workers, {self.server_s:.1f} s for the server)"
        )


def pace(config, processors, folder):
    """Of as many workers as processors on a copy of the workspace; the server shares these."""
    folder.mkdir()
    copy = config.model_copy(update={"workspace": str(folder / "workspace")})
    shutil.copytree(config.workspace, copy.workspace)
    (folder / "config.json").write_text(copy.model_dump_json())
    database = f"sqlite+aiosqlite:///{folder}/prefect.db"
    with on_processors(processors), prefect_service(folder, database, settings={}) as service:
        found = work(processors, folder / "config.json", service)
    assert is_finished(copy, "enhance")
    return found


def work(processors, config, service):
    """The pace from the word to go until the last one is done."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start(one, config, service)) for one in processors]
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * len(workers)
        before = [busy_s(each) for each in (*workers, service.process)]
        begun = time.perf_counter()
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
        assert [worker.stdout.readline() for worker in workers] == ["done\n"] * len(workers)
        took = time.perf_counter() - begun
        after = [busy_s(each) for each in (*workers, service.process)]
        *spent, server_s = (now - then for now, then in zip(after, before, strict=True))
        return Pace(IMAGES / took, sum(spent), server_s)


def start(processor, config, service):
    """A worker that waits for the word to go."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(processor), str(config)],
        env={**service.variables, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_workers_on_two_processors_do_1_8_times_what_one_does_on_one(prepared, tmp_path):
    first, second, *_ = sorted(os.sched_getaffinity(0))
    ratios = []
    for number in range(3):  # the speed of shared processors changes from minute to minute
        one = pace(prepared, {first}, tmp_path / f"one-{number}")
        two = pace(prepared, {first, second}, tmp_path / f"two-{number}")
        ratios.append(two.images_per_second / one.images_per_second)
        print(f"\none worker: {one}\ntwo workers: {two}\nratio {ratios[-1]:.2f}")
    assert statistics.median(ratios) >= 1.8
