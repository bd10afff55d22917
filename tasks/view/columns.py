"""Columns of the sheet: which a metric table has for people, and changes between two versions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.artifacts.metric_registry import Metric, metrics_of

CHANGE = "_change"
"""How the names of columns end that say by how much a metric differs from another version's."""

LEFT_OUT = ("signal", "alpha", "low_share", "fingerprint")
"""Columns that are the same in all rows of a version, or mean nothing to people."""


class Column(NamedTuple):
    """A column of the sheet: what it is called, what it means, which values are better."""

    name: str
    title: str
    kind: str
    """``number`` or ``text``."""
    unit: str
    better: str
    """``more``, ``less``, or empty where no value is."""
    meaning: str
    digits: int | None
    is_metric: bool
    has_change: bool
    """Whether its difference to another version's is a column too."""


def columns_of(table: pa.Table) -> Iterator[Column]:
    """Yield the columns of a metric table that have values; texts always."""
    metrics = {metric.column: metric for metric in metrics_of("image")}
    for field in table.schema:
        is_text = pa.types.is_string(field.type)
        if field.name in LEFT_OUT or not (is_text or table[field.name].null_count < len(table)):
            continue
        metric = metrics.get(field.name)
        facts = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        yield Column(
            field.name,
            _title(field.name, metric),
            "text" if is_text else "number",
            metric.units if metric else facts.get("unit", "").removeprefix("1"),
            (metric.better or "") if metric else "",
            facts.get("meaning", ""),
            metric.digits if metric else 0,
            metric is not None,
            metric is not None and not metric.is_change,
        )


def _title(name: str, metric: Metric | None) -> str:
    """What a column is called: a metric as in the report, where that names no network."""
    if metric is None or not metric.title:
        return name
    return name.upper() if "{" in metric.title else metric.title


def changing(table: pa.Table) -> list[str]:
    """Return the columns of a metric table that differ from version to version.

    A metric that is a difference to the input itself is left out.
    """
    metrics = (metric.column for metric in metrics_of("image") if not metric.is_change)
    return [name for name in metrics if name in table.column_names]


def with_changes(table: pa.Table, base: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return the table with the differences of these columns to those of the same key in another.

    A difference is null where one of the two is, or where the other table lacks the key.
    """
    if not table["key"].equals(base["key"]):
        base = base.take(pc.index_in(table["key"], value_set=base["key"].combine_chunks()))
    for name in columns:
        difference = pc.subtract(column_of(table, name), column_of(base, name))
        table = table.append_column(f"{name}{CHANGE}", difference)
    return table


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of a table; of one that an older version wrote without it, nulls."""
    if name in table.column_names:
        return table[name]
    return pa.chunked_array([pa.nulls(table.num_rows, pa.float64())])
