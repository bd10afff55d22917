"""Columns of the sheet: which a metric table has for people, and changes between two versions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tasks.io.artifacts.metric_registry import metrics_of

CHANGE = "_change"
"""How the names of columns end that say by how much a metric differs from another version's."""

LEFT_OUT = ("signal", "alpha", "fingerprint")
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
            field.name if metric is None or not metric.title else field.name.upper(),
            "text" if is_text else "number",
            metric.units if metric else facts.get("unit", "").removeprefix("1"),
            (metric.better or "") if metric else "",
            facts.get("meaning", ""),
            metric.digits if metric else 0,
        )


def changing(table: pa.Table) -> list[str]:
    """Return the columns of a metric table that are metrics."""
    return [m.column for m in metrics_of("image") if m.column in table.column_names]


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
