"""The worst and the best images by what each metric gained, found shard by shard."""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.config import Config
from tasks.enhance.signals import signals_to_score
from tasks.evaluate.means import with_changes
from tasks.evaluate.score_tables import ScoreTables, of_packages
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import Metric, metrics_of, ranked_metrics
from tasks.io.artifacts.more_metrics import NO_FACTS
from tasks.io.workspace import INPUT, Signal
from tasks.report.pages import number
from tasks.report.pictures.gains import Gains
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

    No image is in both. Values are differences to the input where it has metrics; ``gains`` are
    those of all images then.
    """

    entry: Metric
    worst: list[Extreme]
    best: list[Extreme]
    gains: Gains | None = None

    @property
    def metric(self) -> str:
        """The metric by its column."""
        return self.entry.column

    def in_words(self, facts: Mapping[str, str], anchors: Mapping[str, str]) -> dict[str, Any]:
        """A line of the page's table of best and worst images.

        Args:
            facts: the fidelity table's metadata.
            anchors: where in the page the images are shown, by their keys.
        """
        images = {
            end: [
                {"key": e.key, "value": self.value_of(e), "viewer": anchors.get(e.key)}
                for e in extremes
            ]
            for end, extremes in (("worst", self.worst), ("best", self.best))
        }
        return {"title": heading(self.entry, facts), **images}

    def value_of(self, extreme: Extreme) -> str:
        """The value of an image as it is shown, with its sign if it is a difference."""
        text = number(extreme.value, self.entry.digits or 0)
        return f"+{text}" if self.gains is not None and extreme.value >= 0 else text

    def in_numbers(self) -> dict[str, Any]:
        """The same for the JSON record."""
        return {
            "metric": self.metric,
            "of": "value" if self.gains is None else "change",
            "worst": [extreme._asdict() for extreme in self.worst],
            "best": [extreme._asdict() for extreme in self.best],
        }


def signal_to_rank(config: Config) -> Signal:
    """The images that are ranked: those at the written alpha nearest to the full transport."""
    return Signal("enhanced", min(config.enhance.alphas, key=abs))


def find_extremes(run: FittedRun) -> list[Ends]:
    """The ends of every metric of single images that has values, at ``signal_to_rank``.

    Images are ranked by what changed against the input, or, where that has no metrics, by value.

    Raises:
        ArtifactDamaged: a metric table is not there, or not whole.
    """
    is_gain = INPUT in signals_to_score(run.config)
    shards = list(run.workspace.shards(run.config.restored_name))
    tables = ScoreTables(
        run.workspace,
        run.config.restored_name,
        run.results,
        signal_to_rank(run.config),
        shards,
    )
    facts = tables.facts() if of_packages(run.config.evaluate) else NO_FACTS
    ends = {
        metric: _Ends(more_is_better=metric.better == "more", is_gain=is_gain)
        for metric in ranked_metrics(facts)
    }
    for shard, table in _tables(tables, shards, metrics_of("image", facts=facts), is_gain=is_gain):
        rows = [row for row in table.to_pylist() if row["status"] != "refused"]
        for metric, kept in ends.items():
            name = metric.column
            kept.add(_values(rows, name, f"{name}_change" if is_gain else name, shard))
    return [kept.ends(metric) for metric, kept in ends.items() if kept.count]


def _tables(
    tables: ScoreTables, shards: Iterable[str], metrics: Sequence[Metric], *, is_gain: bool
) -> Iterator[tuple[str, pa.Table]]:
    """The metric table of each shard, with the changes against the input if they are asked for."""
    values = [metric.column for metric in metrics]
    before = tables.of(INPUT).read(["key", *values]) if is_gain else repeat(None)
    read = tables.read(["key", "status", *values])
    for shard, table, base in zip(shards, read, before, strict=False):
        yield shard, table if base is None else with_changes(table, base, metrics)


def _values(
    rows: Iterable[Mapping[str, Any]], metric: str, column: str, shard: str
) -> Iterator[Extreme]:
    for row in rows:
        value = row.get(column) if row.get(metric) is not None else None
        if value is not None and not math.isnan(value):
            yield Extreme(row["key"], shard, value)


class _Ends:
    """At most ``SHOWN`` images of each end, whatever the number of images seen."""

    def __init__(self, *, more_is_better: bool, is_gain: bool = False) -> None:
        self.count = 0
        self._gains = Gains() if is_gain else None
        self._sign = 1 if more_is_better else -1
        self._worst: list[Extreme] = []
        self._best: list[Extreme] = []

    def add(self, found: Iterable[Extreme]) -> None:
        """Take in the images of a shard; ties fall to the first key."""
        shard = list(found)
        self.count += len(shard)
        if self._gains is not None:
            self._gains.add([extreme.value for extreme in shard])
        self._worst = heapq.nsmallest(
            SHOWN, [*self._worst, *shard], key=lambda e: (self._sign * e.value, e.key)
        )
        self._best = heapq.nsmallest(
            SHOWN, [*self._best, *shard], key=lambda e: (-self._sign * e.value, e.key)
        )

    def ends(self, metric: Metric) -> Ends:
        """Both ends; if there are few images, the better half is best and the rest is worst."""
        best = self._best[: (self.count + 1) // 2]
        named = {extreme.key for extreme in best}
        worst = [e for e in self._worst if e.key not in named]
        return Ends(metric, worst, best, self._gains)
