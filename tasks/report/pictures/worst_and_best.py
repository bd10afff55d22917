"""The worst and the best images by each metric, found shard by shard."""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tasks.config import Config
from tasks.evaluate.score_tables import ScoreTables
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import Metric, ranked_metrics
from tasks.io.workspace import Signal
from tasks.report.pages import number
from tasks.report.tables.names import heading

SHOWN = 3
"""So many images are named at each end."""


class Extreme(NamedTuple):
    """An image by its key, the name of its shard, and its value of a metric."""

    key: str
    shard: str
    value: float


class Ends(NamedTuple):
    """The images with the worst and the best values of a metric, the outermost first.

    No image is in both.
    """

    metric: str
    worst: list[Extreme]
    best: list[Extreme]

    def in_words(self, facts: Mapping[str, str], anchors: Mapping[str, str]) -> dict[str, Any]:
        """A line of the page's table of best and worst images.

        Args:
            facts: the fidelity table's metadata.
            anchors: where in the page the images are shown, by their keys.
        """
        metric = _metric(self.metric)
        digits = metric.digits or 0
        images = {
            end: [
                {"key": e.key, "value": number(e.value, digits), "viewer": anchors.get(e.key)}
                for e in extremes
            ]
            for end, extremes in (("worst", self.worst), ("best", self.best))
        }
        return {"title": heading(metric, facts), **images}

    def in_numbers(self) -> dict[str, Any]:
        """The same for the JSON record."""
        return {
            "metric": self.metric,
            "worst": [extreme._asdict() for extreme in self.worst],
            "best": [extreme._asdict() for extreme in self.best],
        }


def ranked_digits(column: str) -> int:
    """How many digits follow the point where images are ranked by the metric of a column."""
    return _metric(column).digits or 0


def signal_to_rank(config: Config) -> Signal:
    """The images that are ranked: those at the written alpha nearest to the full transport."""
    return Signal("enhanced", min(config.enhance.alphas, key=abs))


def find_extremes(run: FittedRun) -> list[Ends]:
    """The ends of every metric of single images that has values, at ``signal_to_rank``.

    Raises:
        ArtifactDamaged: a metric table is not there, or not whole.
    """
    ends = {m.column: _Ends(more_is_better=m.better == "more") for m in ranked_metrics()}
    shards = list(run.workspace.shards(run.config.restored_name))
    signal = signal_to_rank(run.config)
    tables = ScoreTables(
        run.workspace, run.config.restored_name, run.operator.name, signal, shards
    ).read(["key", "status", *ends])
    for shard, table in zip(shards, tables, strict=True):
        rows = [row for row in table.to_pylist() if row["status"] == "ok"]
        for metric, kept in ends.items():
            kept.add(_values(rows, metric, shard))
    return [kept.ends(metric) for metric, kept in ends.items() if kept.count]


def _metric(column: str) -> Metric:
    return next(metric for metric in ranked_metrics() if metric.column == column)


def _values(rows: Iterable[Mapping[str, Any]], metric: str, shard: str) -> Iterator[Extreme]:
    for row in rows:
        if (value := row[metric]) is not None and not math.isnan(value):
            yield Extreme(row["key"], shard, value)


class _Ends:
    """At most ``SHOWN`` images of each end, whatever the number of images seen."""

    def __init__(self, *, more_is_better: bool) -> None:
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
        """Both ends; if there are few images, the better half is best and the rest is worst."""
        best = self._best[: (self.count + 1) // 2]
        named = {extreme.key for extreme in best}
        return Ends(metric, [e for e in self._worst if e.key not in named], best)
