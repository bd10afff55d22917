"""The scores of two folders as a table, in a file and on the terminal."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from tasks.direct.compare import Score
from tasks.io.artifacts.metric_registry import (
    metrics_of,
    metrics_to_choose_by,
    ranked_metrics,
)
from tasks.io.artifacts.parquet import write_table
from tasks.io.store import Store
from tasks.jobs.job import count_reasons
from tasks.report.tables.names import heading

_BEFORE = [("key", pa.string()), ("width", pa.int32()), ("height", pa.int32())]

_ALWAYS = ("psnr", "ssim", "lpips")
"""Columns that a table has even where no image has the metric."""


def write_scores(scores: Sequence[Score], path: Path, names: Mapping[str, str]) -> None:
    """Write a row for every image to a local Parquet file, all of it or nothing.

    Args:
        scores: of all images.
        path: of the file.
        names: what to call metrics, as the metadata of tables have it.
    """
    measured = {column for score in scores for column in score.metrics}
    known = metrics_of("image", facts=names)
    columns = [m.column for m in known if m.column in measured | {*_ALWAYS}]
    schema = pa.schema([*_BEFORE, *((c, pa.float64()) for c in columns), ("reason", pa.string())])
    rows = [{**score._asdict(), **score.metrics} for score in scores]
    table = pa.Table.from_pylist(rows, schema)
    with Store(str(path.absolute().parent)).publish(path.name) as aside:
        write_table(table, aside)


def shown(
    scores: Sequence[Score], names: Mapping[str, str], frechet: float | None
) -> tuple[list[str], list[str], list[str]]:
    """Return what a terminal shows: titles, one row of means, and notes on what is not in them.

    Args:
        scores: of all images.
        names: what to call metrics, as the metadata of tables have it.
        frechet: this distance; None where there is none.
    """
    titles, row = ["images"], [str(sum(bool(score.metrics) for score in scores))]
    for metric in ranked_metrics(names):
        column = metric.column
        values = [v for score in scores if (v := score.metrics.get(column)) is not None]
        # Of images that are their counterparts PSNR is infinite, and their mean tells nothing.
        values = [value for value in values if math.isfinite(value)] or values
        if values:
            titles.append(heading(metric, names))
            row.append(f"{math.fsum(values) / len(values):.{metric.digits}f}")
    if frechet is not None:
        titles.append(heading(metrics_to_choose_by()["fid"], names))
        row.append(f"{frechet:.3f}")
    reasons = count_reasons([score.reason for score in scores if score.reason is not None])
    notes = [f"{row[0]} of {len(scores)} images compared"]
    notes += [f"{count} × {reason}" for reason, count in reasons.items()]
    return titles, row, notes
