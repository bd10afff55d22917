"""Means of the metrics of single images, with their errors, from the rows of metric tables."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from dot_kernels import GaussianMoments
from tasks.evaluate.score_tables import ScoreTables
from tasks.io.artifacts.metric_registry import metrics_of
from tasks.io.workspace import CURVE, Signal

Row = dict[str, Any]
"""Columns of the fidelity table: ``images``, and mean and error of every metric of images."""


def means_of(tables: ScoreTables, points: tuple[Signal, ...]) -> dict[float | None, Row]:
    """Means and errors over all images, for the alpha of each of these points.

    Args:
        tables: the metric tables of one signal.
        points: that signal itself, or the points of the curve if it is the curve.
    """
    totals = {point.alpha: _Means() for point in points}
    columns = ["alpha", "status", *(metric.column for metric in metrics_of("image"))]
    for table in tables.read(columns):
        for alpha, total in totals.items():
            own = pc.equal(table["alpha"], alpha) if tables.signal == CURVE else None
            total.add(table if own is None else table.filter(own))
    return {alpha: total.row() for alpha, total in totals.items()}


class _Means:
    """Means of the metrics over images, with the bootstrap's standard error.

    The standard deviation of a bootstrapped mean has a closed form, that of the images
    over √n; no replicates are drawn. Images equal to their reference have an infinite
    PSNR; they count only where all do.
    """

    def __init__(self) -> None:
        self._images = 0
        self._metrics = metrics_of("image")
        self._moments = {metric.column: GaussianMoments.zero(1) for metric in self._metrics}
        self._infinite = dict.fromkeys(self._moments, 0)

    def add(self, table: pa.Table) -> None:
        """Take in the rows of a shard."""
        self._images += pc.sum(pc.equal(table["status"], "ok")).as_py() or 0
        for name in self._moments:
            column = pc.drop_null(table[name]).to_numpy()
            finite = column[np.isfinite(column)]
            self._infinite[name] += len(column) - len(finite)
            part = GaussianMoments.of(torch.from_numpy(np.array(finite))[:, None])
            self._moments[name] = self._moments[name] + part

    def row(self) -> Row:
        """The means so far; None where no image has the metric, or too few for an error."""
        row: Row = {"images": self._images}
        for metric in self._metrics:
            name, moments = metric.column, self._moments[metric.column]
            row[name] = float(moments.mean) if moments.count else None
            if not moments.count and self._infinite[name]:
                row[name] = math.inf
            if metric.error is not None:
                several = moments.count > 1
                error = math.sqrt(moments.scatter) / moments.count if several else None
                row[metric.error.column] = error
        return row
