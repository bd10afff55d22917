"""The scores of two folders as a table, in a file and on the terminal."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from tasks.direct.compare import Score
from tasks.io.artifacts.metric_registry import metrics_to_choose_by, ranked_metrics
from tasks.io.artifacts.parquet import write_table
from tasks.io.store import Store
from tasks.jobs.job import count_reasons
from tasks.report.tables.names import heading

_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("lpips", pa.float64()),
        ("reason", pa.string()),
    ]
)


def write_scores(scores: Sequence[Score], path: Path) -> None:
    """Write a row for every image to a local Parquet file, all of it or nothing."""
    table = pa.Table.from_pylist([score._asdict() for score in scores], _SCHEMA)
    with Store(str(path.absolute().parent)).publish(path.name) as aside:
        write_table(table, aside)


def shown(
    scores: Sequence[Score], names: Mapping[str, str], frechet: float | None
) -> tuple[list[str], list[str], list[str]]:
    """Return what a terminal shows: titles, one row of means, and notes on what is not in them.

    Args:
        scores: of all images.
        names: what to call LPIPS and the Fréchet distance, as the metadata of tables have it.
        frechet: this distance; None where there is none.
    """
    titles, row = ["images"], [str(sum(score.psnr is not None for score in scores))]
    for metric in ranked_metrics():
        values = [
            value for score in scores if (value := getattr(score, metric.column, None)) is not None
        ]
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
