"""Means of the metrics of single images, with their errors, from the rows of metric tables.

Beside each mean stands that of the images' differences to the input x*, each image against
itself. Most of what makes images differ is in both and cancels, so its error is far smaller
than that of either mean.
"""

import math
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from dot_kernels import GaussianMoments
from tasks.evaluate.overlap import LeftOut, without
from tasks.evaluate.score_tables import ScoreTables
from tasks.io.artifacts.metric_registry import metrics_of
from tasks.io.artifacts.metrics import change_of
from tasks.io.workspace import Signal

NO_IMAGES = LeftOut()

Row = dict[str, Any]
"""Columns of the fidelity table: ``images``, and of every metric of images its mean, the mean
of its differences to the input, the errors of both, and how many images have a difference."""


def means_of(
    tables: ScoreTables,
    points: tuple[Signal, ...],
    inputs: ScoreTables | None,
    left_out: LeftOut = NO_IMAGES,
) -> dict[float | None, Row]:
    """Means and errors over images, for the alpha of each of these points.

    Args:
        tables: the metric tables of one signal.
        points: that signal itself, or the points of the curve if it is a curve.
        inputs: the metric tables of the input over the same shards, which differences are to;
            None to have none.
        left_out: images that do not count: those ``scored`` in metrics that need a reference,
            those ``featured`` in others.
    """
    totals = {point.alpha: _Means() for point in points}
    values = [metric.column for metric in metrics_of("image")]
    before = repeat(None) if inputs is None else inputs.read(["key", *values])
    for whole, base in zip(tables.read(["key", "alpha", "status", *values]), before, strict=False):
        paired = whole if base is None else with_changes(whole, base)
        for alpha, total in totals.items():
            own = pc.equal(paired["alpha"], alpha) if tables.signal.has_points else None
            total.add(paired if own is None else paired.filter(own), left_out)
    return {alpha: total.row() for alpha, total in totals.items()}


def with_changes(table: pa.Table, base: pa.Table) -> pa.Table:
    """The table with a column more for each metric: its value less that of the same key.

    Null where one of them is, or where the key is not in ``base``.
    """
    places = pc.index_in(table["key"], value_set=base["key"].combine_chunks())
    for metric in metrics_of("image"):
        if (change := change_of(metric)) is not None:
            difference = pc.subtract(table[metric.column], base[metric.column].take(places))
            table = table.append_column(change.column, difference)
    return table


class _Means:
    """Means of the metrics over images, and of their changes, with standard errors."""

    def __init__(self) -> None:
        self._images = 0
        self._means = dict[str, _Mean]()
        self._errors, self._counts = dict[str, str](), dict[str, str]()
        self._of_all = set[str]()
        for metric in metrics_of("image"):
            change = change_of(metric)
            for value in (metric, change):
                if value is not None and value.error is not None:
                    pool = _POOLS[metric.pooled] if value is metric else _Mean
                    self._means[value.column] = pool()
                    self._errors[value.column] = value.error.column
                    self._of_all |= set() if metric.reference else {value.column}
            if change is not None:
                self._counts[change.column] = change.images

    def add(self, table: pa.Table, left_out: LeftOut) -> None:
        """Take in the rows of a shard but for those of images that are left out."""
        scored, every = without(table, left_out.scored), without(table, left_out.featured)
        self._images += pc.sum(pc.equal(scored["status"], "ok")).as_py() or 0
        for name, mean in self._means.items():
            rows = every if name in self._of_all else scored
            if name in rows.column_names:
                mean.add(pc.drop_null(rows[name]).to_numpy())

    def row(self) -> Row:
        """The means so far; None where no image has the metric, or too few for an error."""
        row: Row = {"images": self._images}
        for name, mean in self._means.items():
            row[name], row[self._errors[name]] = mean.value, mean.error
        for name, images in self._counts.items():
            row[images] = self._means[name].count
        return row


class _Mean:
    """A mean over images, with the bootstrap's standard error.

    The standard deviation of a bootstrapped mean has a closed form, that of the images
    over √n; no replicates are drawn. Images equal to their reference have an infinite
    PSNR; they count only where all do.
    """

    def __init__(self) -> None:
        self._moments = GaussianMoments.zero(1)
        self._infinite = set[float]()

    def add(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        """Take in the values of images; NaN, the difference of infinite ones, is left out."""
        finite = values[np.isfinite(values)]
        self._infinite |= set(values[np.isinf(values)].tolist())
        self._moments += GaussianMoments.of(torch.from_numpy(np.array(finite))[:, None])

    @property
    def count(self) -> int:
        """Number of images with a finite value, which the error is of."""
        return self._moments.count

    @property
    def value(self) -> float | None:
        """The mean; None without images."""
        if self._moments.count:
            return float(self._moments.mean)
        return next(iter(self._infinite)) if len(self._infinite) == 1 else None

    @property
    def error(self) -> float | None:
        """Its standard error; None with fewer than two images."""
        several = self._moments.count > 1
        return math.sqrt(self._moments.scatter) / self._moments.count if several else None


class _RootMeanSquare(_Mean):
    """The root of a mean of squares, with the error of that mean brought through the root."""

    def add(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        super().add(np.square(values))

    @property
    def value(self) -> float | None:
        mean = super().value
        return None if mean is None else math.sqrt(mean)

    @property
    def error(self) -> float | None:
        error, root = super().error, self.value
        if error is None or not root:
            return error
        return error / (2 * root)


_POOLS = {"mean": _Mean, "root mean square": _RootMeanSquare}
"""What gathers a metric's values, by its ``pooled``."""
