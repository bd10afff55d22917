"""Flows without work, and a process of its own that runs them: what Prefect costs.

Every shard is a task as others are: it is logged, told as an event, and counted. As a
program, this runs on the server of PREFECT_API_URL: ``on_server`` starts it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil
from prefect import flow, task
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.runners.lanes import Threads
from flows.steps.reports import StepRun
from flows.steps.steps import run_step
from tasks.config import Config
from tasks.fit.operators import OperatorRef
from tasks.jobs import Job, Outcome, Planned, Subject
from tasks.jobs.events import told
from tasks.jobs.policy import SHARD_POLICY


class EmptyShard(Job):
    """A shard of which nothing is made."""

    number: int

    def subject(self) -> Subject:
        """The shard, with as many alphas as there are by default."""
        shard = f"shard-{self.number:06d}"
        return Subject("empty", shard, "0123456789abcdef", (0.0, 0.25, 0.5, 0.75))


class Mark(NamedTuple):
    """How far the flow was, when, and how much memory its process had."""

    shards: int
    second: float
    resident_bytes: int

    @classmethod
    def now(cls, shards: int) -> "Mark":
        """After so many shards."""
        return cls(shards, time.time(), psutil.Process().memory_info().rss)


@task(name="empty shard", **SHARD_POLICY)
def do_nothing(job: EmptyShard) -> Outcome:
    """Tell that a shard was enhanced."""
    return told("enhanced", job, Outcome(images=1))


@flow(name="empty-shards")
def empty_shards(shards: int, lanes: int) -> list[Mark]:
    """Run over so many shards; a mark at every thousandth, and one at the end."""
    marks = list[Mark]()

    def planned() -> Iterator[Planned]:
        for number in range(shards):
            if number % 1000 == 0:
                marks.append(Mark.now(number))
            yield Planned(f"shard-{number:06d}", 1, EmptyShard(workspace="/w", number=number))

    step = StepRun("enhance empty", "empty", max_bad_fraction=0.05)
    run_step(step, do_nothing, planned(), Threads(lanes), total=shards)
    return [*marks, Mark.now(shards)]


@flow(name="empty-run", flow_run_name="enhance {config.restored_name} {shards[0]}")
def empty_run(config: Config, operator: OperatorRef, shards: tuple[str, ...]) -> None:
    """Do nothing with the parameters of a block."""


def empty_runs(runs: int) -> None:
    """So many flow runs, one after the other."""
    corpora = {role: {"path": "/images/" + role} for role in ("restored", "reference")}
    config = Config.model_validate({"name": "empty", "workspace": "/w", "corpora": corpora})
    operator = OperatorRef(name="0123456789abcdef", digest="0" * 32, is_stochastic=False)
    shards = tuple(f"shard-{number:06d}" for number in range(config.blocks.shards))
    # Ending the sign that a run is alive takes most of a second, and costs nobody anything.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        for _ in range(runs):
            empty_run(config, operator, shards)


def main(what: str, count: str) -> None:
    """Run ``what``, shards or runs, so often; write the marks as JSON."""
    if what == "shards":
        sys.stdout.write(json.dumps(empty_shards(int(count), lanes=2)))
    else:
        empty_runs(int(count))


def on_server(variables: Mapping[str, str], what: str, count: int) -> list[Mark]:
    """The marks of a process that runs so many, as a user's does.

    Args:
        variables: its environment, which names the server.
        what: shards or runs.
        count: so many.
    """
    places = [str(Path(__file__).parents[1]), str(Path(__file__).parents[3])]
    done = subprocess.run(
        [sys.executable, __file__, what, str(count)],
        env={**variables, "PYTHONPATH": os.pathsep.join(places)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [Mark(*mark) for mark in json.loads(done.stdout or "[]")]


if __name__ == "__main__":
    main(*sys.argv[1:])
