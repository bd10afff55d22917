"""The worst and the best images by each metric, found shard by shard."""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.parquet import read_table
from tasks.io.workspace import Signal, Workspace, metrics_folder

SHOWN = 3
"""So many images at each end."""

MORE_IS_BETTER = {"psnr": True, "ssim": True, "lpips": False}


class Extreme(NamedTuple):
    """An image, where it lies, and the value of its metric."""

    key: str
    shard: str
    value: float


class Ends(NamedTuple):
    """The images at both ends of a metric, from the outermost inward; none in both."""

    metric: str
    worst: list[Extreme]
    best: list[Extreme]


def signal_to_rank(config: Config) -> Signal:
    """The written alpha that is nearest to the full transport; the first of these."""
    return Signal("enhanced", min(config.enhance.alphas, key=abs))


def find_extremes(run: FittedRun) -> list[Ends]:
    """The ends of every metric that has values."""
    folder = metrics_folder(run.config.restored_name, run.operator.name, signal_to_rank(run.config))
    ends = {metric: _Ends(more) for metric, more in MORE_IS_BETTER.items()}
    for shard in run.workspace.shards(run.config.restored_name):
        rows = _rows(run.workspace, f"{folder}/{shard}.parquet")
        for metric, kept in ends.items():
            kept.add(_values(rows, metric, shard))
    return [kept.ends(metric) for metric, kept in ends.items() if kept.count]


def _rows(workspace: Workspace, path: str) -> list[dict[str, Any]]:
    columns = ["key", "status", *MORE_IS_BETTER]
    rows: list[dict[str, Any]] = read_table(workspace.store, path, columns).to_pylist()
    return [row for row in rows if row["status"] == "ok"]


def _values(rows: Iterable[Mapping[str, Any]], metric: str, shard: str) -> Iterator[Extreme]:
    for row in rows:
        if (value := row[metric]) is not None and not math.isnan(value):
            yield Extreme(row["key"], shard, value)


class _Ends:
    """At most ``SHOWN`` images of each end, whatever the number of images seen."""

    def __init__(self, more_is_better: bool) -> None:
        self.count = 0
        self._sign = 1 if more_is_better else -1
        self._worst: list[Extreme] = []
        self._best: list[Extreme] = []

    def add(self, found: Iterable[Extreme]) -> None:
        """Take in the images of a shard; ties fall to the first key."""
        shard = list(found)
        self.count += len(shard)
        self._worst = heapq.nsmallest(
            SHOWN, [*self._worst, *shard], key=lambda e: (self._sign * e.value, e.key)
        )
        self._best = heapq.nsmallest(
            SHOWN, [*self._best, *shard], key=lambda e: (-self._sign * e.value, e.key)
        )

    def ends(self, metric: str) -> Ends:
        """Both ends; of few images, the better half is best and the rest is worst."""
        best = self._best[: (self.count + 1) // 2]
        named = {extreme.key for extreme in best}
        return Ends(metric, [e for e in self._worst if e.key not in named], best)
