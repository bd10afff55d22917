"""The ledger at the size of a large data set, and what it costs a small one."""

import functools
import io
import json
import statistics
import threading
import time

import pytest

from flows.backfill import backfill
from flows.cli.demo import write_demo
from flows.service.server import prefect_server
from tasks.config import Config, Run, load_config
from tasks.fit.select import SelectJob, write_selection
from tasks.io.ledger import Claims, Ledger, Record, digest_of, ledger, owner
from tasks.io.shards import Accepted, ShardWriter, TarWriter
from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tasks.pipeline import is_finished, steps_of
from tasks.shard.index import IndexJob, write_index
from tasks.shard.shard import ShardJob
from tasks.upkeep.status import status_of_steps

SHARDS = 10_000


def record(workspace, target):
    """What a finished artifact leaves in the ledger; its files are not asked for by plans."""
    facts = {"files": {}, "inputs": target.inputs, "diagnostics": {"branch": "exact"}}
    made = Record(target.artifact, target.fingerprint, digest_of(target.fingerprint))
    path = workspace.store.local(made.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts))


def write_shard(workspace, unit):
    """The index of a shard with one image; plans ask for no tar."""
    (file,) = unit.job.files
    folder = workspace.store.local(unit.artifacts[0])
    folder.parent.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(unit.unit, TarWriter(io.BytesIO()))
    image = {"data": b"", "sha256": "0" * 64, "extension": "png", "width": 8, "height": 8}
    writer.add(Accepted(key=file.key, source=file.path, **image))
    writer.close(folder.with_suffix(".parquet"), folder.with_suffix(".idx"))


def configure(folder):
    """Two corpora of 10,000 empty files, a shard for each of them."""
    for number in range(SHARDS):
        for role in ("restored", "reference"):
            path = folder / role / f"{number // 1000:02d}/{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return Config.model_validate(
        {
            "name": "enormous",
            "workspace": str(folder / "workspace"),
            "corpora": {role: {"path": str(folder / role)} for role in ("restored", "reference")},
            "codec": {"kind": "pixel", "factor": 8},
            "patches": {"size": 1},
            "fit": {"images": 10},
            "shards": {"images": 1},
            "evaluate": {"lpips": None, "features": None},
        }
    )


def finish(config):
    """Leave in the ledger what a run leaves there."""
    workspace = Workspace(config.workspace)
    for step in steps_of(Run(config, workspace)):
        jobs = [unit for unit in step.plan() if unit.job is not None]
        while jobs:  # an index is planned when its shards are done
            for unit in jobs:
                settle(workspace, unit)
            jobs = [unit for unit in step.plan() if unit.job is not None]


def settle(workspace, unit):
    """Do what plans look into, and say of the rest that it is done."""
    if isinstance(unit.job, IndexJob):
        write_index(unit.job)
    elif isinstance(unit.job, SelectJob):
        write_selection(unit.job)
    else:
        if isinstance(unit.job, ShardJob):
            write_shard(workspace, unit)
        for target in unit.job.targets():
            record(workspace, target)


@pytest.fixture(scope="module")
def enormous(tmp_path_factory):
    """The ledger of a finished run over a data set and its reference, 10,000 shards each."""
    config = configure(tmp_path_factory.mktemp("enormous"))
    finish(config)
    return config


def test_a_finished_run_of_10_000_shards_is_recognised_in_five_seconds(benchmark, enormous):
    assert benchmark.pedantic(lambda: is_finished(enormous), rounds=3)
    took = benchmark.stats.stats.median
    records = sum(1 for _ in Workspace(enormous.workspace).store.names("ledger"))
    print(f"\n{benchmark.name}: {took:.3g} s for {SHARDS} shards, {records} records")
    assert took < 5


def test_the_status_of_10_000_shards_takes_less_than_three_seconds(benchmark, enormous):
    steps = benchmark.pedantic(lambda: list(status_of_steps(enormous)), rounds=3)
    took = benchmark.stats.stats.median
    print(f"\n{benchmark.name}: {took:.3g} s")
    assert [step.missing + step.stale + step.failed for step in steps] == [0] * len(steps)
    assert not any(step.note for step in steps)
    assert took < 3


PARTS = {
    Ledger: ("survey", "records", "facts", "_replace", "withdraw"),
    Store: ("write", "put", "sweep"),
    Claims: ("_take",),
    owner.Owner: ("release",),
    ledger: ("describe", "summarised"),
}
"""All that the ledger, the claims and the commit of files consist of."""


@pytest.fixture
def protocol(monkeypatch):
    """Seconds in the ledger and the commit protocol, added over all threads."""
    spent, inside, lock = [0.0], threading.local(), threading.Lock()

    def timed(function):
        @functools.wraps(function)
        def measured(*args, **options):
            if getattr(inside, "part", False):
                return function(*args, **options)
            inside.part, start = True, time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                inside.part = False
                with lock:
                    spent[0] += time.perf_counter() - start

        return measured

    for place, names in PARTS.items():
        for name in names:
            monkeypatch.setattr(place, name, timed(getattr(owner, name)))
    return spent


def test_ledger_and_commit_cost_three_percent_of_the_demo_at_most(
    benchmark, protocol, tmp_path, monkeypatch
):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    shares = []

    def demo():
        protocol[0], start = 0.0, time.perf_counter()
        with prefect_server():
            backfill(load_config(write_demo(tmp_path / f"demo-{len(shares)}")))
        took = time.perf_counter() - start
        shares.append(protocol[0] / took)
        print(f"\n{protocol[0]:.3g} s of {took:.3g} s, share {shares[-1]:.3g}")

    benchmark.pedantic(demo, rounds=3)
    assert statistics.median(shares) <= 0.03
