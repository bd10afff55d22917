"""The table of a training: a row for each step, with its losses and, after segments, the PSNR."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.io.artifacts.parquet import read_table
from tasks.io.store import Store

_MOST_LINES = 100
"""Lines of a course, about."""


def _column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"meaning": meaning})


SCHEMA = pa.schema(
    [
        _column("step", pa.int64(), "number of the step, from 0 on"),
        _column("map_loss", pa.float64(), "loss of the map before the step"),
        _column("potential_loss", pa.float64(), "that of the potential; null if not its turn"),
        _column("rate", pa.float64(), "rate of Adam"),
        _column("psnr", pa.float64(), "dB, of held-out crops restored by the averages, or null"),
        _column("degraded_psnr", pa.float64(), "dB, of the same before they are restored, or null"),
    ]
)


class Row(NamedTuple):
    """A step of a training; see ``SCHEMA``."""

    step: int
    map_loss: float
    potential_loss: float | None
    rate: float
    psnr: float | None = None
    degraded_psnr: float | None = None


def table_of(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table."""
    return pa.Table.from_pylist([row._asdict() for row in rows], SCHEMA)


def read_rows(store: Store, artifacts: Iterable[str]) -> list[Row]:
    """Return the rows of segments, or of a whole training, in the order of their artifacts.

    Raises:
        ArtifactDamaged: a table is not there, or not whole.
    """
    tables = (read_table(store, f"{artifact}.parquet") for artifact in artifacts)
    return [Row(**row) for table in tables for row in table.to_pylist()]


def course_of(rows: Sequence[Row], segment: int) -> list[dict[str, Any]]:
    """Return the course of a training for people: a line for a segment, or for several.

    Args:
        rows: of all its steps.
        segment: steps of a segment.
    """
    together = segment * max(1, -(-len(rows) // segment) // _MOST_LINES)
    starts = range(0, len(rows), together)
    return [_line(rows[start : start + together]) for start in starts]


def _line(rows: Sequence[Row]) -> dict[str, Any]:
    others = [row.potential_loss for row in rows if row.potential_loss is not None]
    last = rows[-1]
    return {
        "steps": f"{rows[0].step} to {last.step}",
        "map loss": f"{sum(row.map_loss for row in rows) / len(rows):.6g}",
        "potential loss": f"{sum(others) / len(others):.6g}" if others else "",
        "rate": f"{last.rate:g}",
        "PSNR (dB)": "" if last.psnr is None else f"{last.psnr:.2f}",
        "PSNR before (dB)": "" if last.degraded_psnr is None else f"{last.degraded_psnr:.2f}",
    }
