"""What a large service would take, from what one of each thing takes: sums, and no guesses.

The few numbers that no test on one machine can measure are given by name: ``Scale``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

GIB, TIB = 2.0**30, 2.0**40


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What is extrapolated to."""

    shards: int = 1_000_000
    workers: int = 1_000
    images: int = 256
    """In a shard: ``shards.images``."""
    shard_s: float = 120.0
    """Of a worker's time for a shard: about two images a second."""
    answer_s: float = 0.1
    """Of a bucket, for one request that lists 1,000 names."""


@dataclass(frozen=True, kw_only=True)
class Plans:
    """Of the enhancement, per shard with ``artifacts`` artifacts; seconds and bytes."""

    artifacts: int
    records: int
    """Of the ledger that are looked at for a shard: its artifacts', its own, its matches'."""
    missing_s: float
    done_s: float
    block_s: float
    """Per shard of the whole data set, of a plan that is asked for one block of it."""
    name_s: float
    """Of listing one record on disk."""
    record_bytes: float
    """Of memory, for one record of a survey."""
    unit_bytes: float
    """Of memory, for what is planned of a shard of which nothing is done."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Requests to a bucket."""

    taken: float
    """To take a claim, and to let it go."""
    beat: float
    """To touch a claim, every ``beat_s`` seconds."""
    beat_s: float
    shard: float
    """All requests of the enhancement of one shard that is already planned."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of one file with the moments of a shard, in d dimensions."""

    dimensions: int
    file_bytes: int
    merge_s: float
    """To read it and to add it."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Per image and signal, of 2048 features."""

    image_bytes: float
    image_s: float


@dataclass(frozen=True, kw_only=True)
class History:
    """What the Prefect server and its database take together, in processor seconds and bytes."""

    idle: float
    """Of a processor, that they take when nothing is asked of them; no part of the rest."""
    shard_s: float
    shard_bytes: float
    alone_s: float
    """Of a shard, where the server records every task run by itself (Prefect's default)."""
    event_bytes: float
    events: int
    """Of a shard."""
    run_s: float
    run_bytes: float
    poll_s: float
    """Of a worker's question for work."""
    beat_s: float
    """Of a worker's sign of life."""
    poll_every_s: float
    beat_every_s: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """All unit costs."""

    plans: Plans
    list_requests: float
    """Of a bucket, per 1,000 records."""
    claims: Claims
    moments: Sequence[Moments]
    features: Features
    history: History
    block: int
    """Shards in a flow run: ``blocks.shards``."""


def tables(costs: Costs, scale: Scale = Scale()) -> str:
    """The unit costs and what they come to, as Markdown."""
    head = f"{scale.shards:,} shards, {scale.workers:,} workers"
    parts = [_plans, _claims, _moments, _history]
    rows = [row for part in parts for row in part(costs, scale)]
    lines = [f"| what | measured | {head} |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


Row = tuple[str, str, str]


def _plans(costs: Costs, scale: Scale) -> list[Row]:
    plans, shards = costs.plans, scale.shards
    records = plans.records * shards
    requests = records / 1000 * costs.list_requests
    blocks = shards / costs.block
    return [
        (
            f"plan of all shards, nothing done ({plans.artifacts} artifacts each)",
            f"{_time(plans.missing_s)} a shard, {_time(plans.missing_s / plans.artifacts)} an "
            "artifact",
            _time(plans.missing_s * shards),
        ),
        ("the same, all done", f"{_time(plans.done_s)} a shard", _time(plans.done_s * shards)),
        (
            "memory of its surveys",
            f"{plans.record_bytes:.0f} bytes a record, {plans.records} records a shard",
            _size(plans.record_bytes * records),
        ),
        (
            "memory of the plan, in a flow that holds all of it",
            f"{_size(plans.unit_bytes)} a shard",
            _size(plans.unit_bytes * shards),
        ),
        ("listing on disk", f"{_time(plans.name_s)} a record", _time(plans.name_s * records)),
        (
            "listing in a bucket",
            f"{costs.list_requests:.2f} requests per 1,000 records",
            f"{requests:,.0f} requests; {_time(requests * scale.answer_s)} at "
            f"{scale.answer_s:g} s each",
        ),
        (
            f"plan of a worker's block of {costs.block} shards",
            f"{_time(plans.block_s)} per shard of the data set",
            f"{_time(plans.block_s * shards)} for each of {blocks:,.0f} blocks",
        ),
    ]


def _claims(costs: Costs, scale: Scale) -> list[Row]:
    claims, workers = costs.claims, scale.workers
    ends = workers / scale.shard_s
    return [
        (
            "claims that are touched: the run's and the shard's",
            f"{claims.beat:.1f} requests each, every {claims.beat_s:g} s",
            f"{2 * workers * claims.beat / claims.beat_s:,.0f} requests a second",
        ),
        (
            "claims that are taken and let go",
            f"{claims.taken:.1f} requests a shard",
            f"{ends * claims.taken:,.0f} requests a second at {scale.shard_s:g} s a shard",
        ),
        (
            "all requests to the bucket for a shard",
            f"{claims.shard:,.0f}",
            f"{ends * claims.shard:,.0f} a second at {scale.shard_s:g} s a shard",
        ),
    ]


def _moments(costs: Costs, scale: Scale) -> list[Row]:
    rows = []
    width = math.isqrt(scale.shards)
    for moments in costs.moments:
        each = f"{_size(moments.file_bytes)}, {_time(moments.merge_s)} a file"
        alone = moments.merge_s * scale.shards
        tree = moments.merge_s * 2 * width
        come = f"{_time(alone)} in one task, {_time(tree)} in a tree of {width:,} times {width:,}"
        rows.append((f"merging moments, d = {moments.dimensions}", each, come))
    features, images = costs.features, scale.shards * scale.images
    rows.append(
        (
            "reading features, d = 2048, for each signal",
            f"{_size(features.image_bytes)}, {_time(features.image_s)} an image",
            f"{_size(features.image_bytes * images)}, {_time(features.image_s * images)} in one "
            "task",
        )
    )
    return rows


def _history(costs: Costs, scale: Scale) -> list[Row]:
    history, shards, workers = costs.history, scale.shards, scale.workers
    runs = shards / costs.block
    return [
        (
            "Prefect's database, task runs with their events and logs",
            f"{_size(history.shard_bytes)} a shard",
            _size(history.shard_bytes * shards),
        ),
        (
            "of these, events, which go after a week",
            f"{_size(history.event_bytes)} each, {history.events} a shard",
            _size(history.event_bytes * history.events * shards),
        ),
        (
            "Prefect's database, flow runs",
            f"{_size(history.run_bytes)} a run",
            f"{_size(history.run_bytes * runs)} for {runs:,.0f} runs",
        ),
        ("processor time of server and database when idle", f"{100 * history.idle:.1f} %", ""),
        (
            "the same for task runs, recording in batches",
            f"{_time(history.shard_s)} a shard",
            f"{_time(history.shard_s * shards)}; one server keeps up with {workers:,} workers of "
            f"at least {_time(history.shard_s * workers)} a shard",
        ),
        (
            "the same, recording one by one (Prefect's default)",
            f"{_time(history.alone_s)} a shard",
            f"{_time(history.alone_s * shards)}; at least {_time(history.alone_s * workers)} a "
            "shard",
        ),
        (
            "the same, of flow runs",
            f"{_time(history.run_s)} a run",
            _time(history.run_s * runs),
        ),
        (
            "workers that ask for work",
            f"{_time(history.poll_s)} each, every {history.poll_every_s:g} s",
            _load(workers, history.poll_s, history.poll_every_s),
        ),
        (
            "workers that give a sign of life",
            f"{_time(history.beat_s)} each, every {history.beat_every_s:g} s",
            _load(workers, history.beat_s, history.beat_every_s),
        ),
    ]


def _load(workers: int, each_s: float, every_s: float) -> str:
    rate = workers / every_s
    return f"{rate:,.0f} requests a second, {100 * rate * each_s:.0f} % of a processor"


def _time(seconds: float) -> str:
    """In the unit that suits it."""
    for unit, least, size in _TIMES:
        if seconds >= least:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


_TIMES = (
    ("days", 2 * 86400.0, 86400.0),
    ("h", 2 * 3600.0, 3600.0),
    ("min", 120.0, 60.0),
    ("s", 1.0, 1.0),
    ("ms", 1e-3, 1e-3),
)


def _size(size_bytes: float) -> str:
    """In the unit that suits it."""
    for unit, size in (("TiB", TIB), ("GiB", GIB), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if size_bytes >= size:
            return f"{size_bytes / size:.3g} {unit}"
    return f"{size_bytes:.3g} bytes"
