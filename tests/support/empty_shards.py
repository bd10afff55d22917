"""A flow over shards without work, and a process of its own that runs it: what Prefect costs.

Every shard is a task as others are: it is logged, told as an event, and counted. As a
program, this runs the flow on the server of PREFECT_API_URL, and prints what it saw.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
from prefect import flow, task

from flows.lanes import Threads
from flows.reports import Step
from flows.steps import run_step
from tasks.events import told
from tasks.jobs import Job, Outcome, Planned, Subject
from tasks.policy import SHARD_POLICY


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

    step = Step("enhance empty", "empty", max_bad_fraction=0.05)
    run_step(step, do_nothing, planned(), Threads(lanes), total=shards)
    return [*marks, Mark.now(shards)]


def main(shards: str, lanes: str) -> None:
    """Write the marks as JSON, and the processor seconds of this process."""
    marks: list[Any] = empty_shards(int(shards), int(lanes))
    spent = psutil.Process().cpu_times()
    said = json.dumps({"marks": marks, "busy_s": spent.user + spent.system})
    sys.stdout.write(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
