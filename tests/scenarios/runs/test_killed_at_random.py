"""Runs that are killed at any moment, time after time, end as one that nothing happened to."""

import random
import shutil
import signal
import tarfile
import threading
import time
from contextlib import contextmanager, suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import SafetensorError, safe_open

from flows.backfill import backfill
from flows.cli.demo import write_demo
from tasks.config import load_config


@contextmanager
def watched(workspace):
    """Reads everything under its final name while the block runs; yields what was not whole."""
    broken, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            final = []
            with suppress(FileNotFoundError):  # a folder was removed while it was listed
                final = [path for path in workspace.rglob("*") if ".partial" not in path.parts]
            broken.extend(f"{path}: {why}" for path in final if (why := complain(path)))
            time.sleep(0.05)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield broken
    finally:
        stop.set()
        reader.join()


def complain(path):
    """Why a file is not whole, None if it is, or was removed in this moment."""
    try:
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                archive.getmembers()
            with path.open("rb") as stream:
                stream.seek(-1024, 2)
                return None if stream.read() == bytes(1024) else "no end of the archive"
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as table:
                table.read(use_threads=False)
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as tensors:
                tensors.keys()
    except FileNotFoundError:
        return None
    except (tarfile.TarError, pa.ArrowException, SafetensorError, OSError) as error:
        return f"{type(error).__name__}: {error}" if path.exists() else None
    return None


def kill_often(run, project, undisturbed, times, longest_s, seed):
    """Kill runs at random moments; finished ones are compared, and start over."""
    rng, killed = random.Random(seed), 0
    while killed < times:
        ended = run(project, "clock", rng.uniform(0.05, longest_s))
        project.vouch()
        if ended == 0:
            assert project.lasting() == undisturbed
            shutil.rmtree(project.workspace)
        else:
            assert ended == -signal.SIGKILL
            killed += 1
    assert run(project) == 0
    assert project.lasting() == undisturbed
    assert project.partial() == []
    assert not [*(project.workspace / "claims").rglob("*.json")]


def test_a_tiny_run_survives_kills_at_random_moments(project, run_in_process, undisturbed):
    with watched(project.workspace) as broken:
        kill_often(run_in_process, project, undisturbed, times=6, longest_s=2.0, seed=1)
    assert broken == []


@pytest.mark.slow
def test_the_demo_survives_fifty_kills_at_random_moments(tmp_path, server, run_in_process, project):
    demo = type(project)(tmp_path / "demo", "demo.yaml")
    write_demo(demo.folder)
    whole = type(project)(tmp_path / "whole", "demo.yaml")
    shutil.copytree(demo.folder, whole.folder)
    backfill(load_config(whole.file))
    with watched(demo.workspace) as broken:
        kill_often(run_in_process, demo, whole.lasting(), times=50, longest_s=6.0, seed=2)
    assert broken == []
