"""The metric table, one row per image and signal, and the fidelity table, one per signal."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.io.artifacts.metric_registry import SECOND, Error, Metric, metrics_of
from tasks.io.artifacts.parquet import read_schema, write_table
from tasks.io.store import Store

NO_SUCH_KEY = "no reference: its key is not among the accepted images of the reference"
"""Why an image is unscored whose key the reference lacks."""

NO_REFERENCE_GIVEN = "no reference corpus"
"""Why all images are unscored where the configuration names no reference."""

NO_NETWORK = "none"
"""What stands in the metadata of a metric table in place of a network that it had not."""


FEATURED = "featured"
"""The column of the fidelity table that says how many images have features."""


class Change(NamedTuple):
    """The columns of a metric's difference to the input, of the same images, in its unit.

    More is better where more of the metric is.
    """

    column: str
    error: Error
    images: str
    """The column that says how many images it is of. For a mean they are those that have the
    metric and had it at the input, which may be fewer than the row's."""
    meaning: str = "mean over images of the difference to the input's"


def change_of(metric: Metric) -> Change | None:
    """The difference of a metric to the input; None where none is computed."""
    name, second, _ = metric.column.partition(SECOND)
    column, error = f"{name}_change{second}", f"{name}_change_error{second}"
    if metric.basis == "image" and not metric.is_change:
        told = Error(column=error, meaning="standard error of that mean")
        return Change(column, told, f"{column}_images")
    if metric.change:
        told = Error(column=error, meaning="standard error of that difference")
        return Change(column, told, FEATURED, metric.change)
    return None


def score_schema() -> pa.Schema:
    """The columns of the metric table, with unit and meaning as metadata."""
    return pa.schema(
        [
            _column("key", pa.string(), "", "path in the corpus, without extension"),
            _column("shard", pa.string(), "", "name of the shard"),
            *_signal(),
            *(_number(m.column, m.unit, m.meaning) for m in metrics_of("image")),
            _column("width", pa.int32(), "pixel", "width of the image"),
            _column("height", pa.int32(), "pixel", "height of the image"),
            _column("status", pa.string(), "", "ok, unscored (no reference) or refused (no image)"),
            _column("reason", pa.string(), "", "why it is unscored or refused"),
            _column("fingerprint", pa.string(), "", "what the row was made from"),
        ]
    )


def fidelity_schema() -> pa.Schema:
    """The columns of the fidelity table, with unit and meaning as metadata."""
    images = metrics_of("image")
    return pa.schema(
        [
            *_signal(),
            _column("images", pa.int64(), "", "images with distortion metrics"),
            *(_number(metric.column, metric.unit, metric.mean) for metric in images),
            *_errors(images),
            *_changes(images),
            *_values_and_errors(metrics_of("patches")),
            _column(FEATURED, pa.int64(), "", "images with features"),
            *_values_and_errors(metrics_of("features")),
        ]
    )


def write_scores(rows: Sequence[dict[str, Any]], path: Path, networks: Mapping[str, str]) -> None:
    """Write the rows of a shard's metric table to a local file.

    Args:
        rows: one per image, or per image and point of the curve; a column that a row lacks is
            null.
        path: the file to write.
        networks: what the columns ``lpips`` and the features were computed with, for the
            table's metadata.
    """
    schema = score_schema().with_metadata(dict(networks))
    write_table(pa.Table.from_pylist(list(rows), schema), path)


def networks_of(store: Store, path: str) -> dict[str, str]:
    """The networks that a shard's metric table was computed with, by what they are for.

    Raises:
        ArtifactDamaged: the table is not there, or not whole.
    """
    metadata = read_schema(store, path).metadata or {}
    networks = {name.decode(): value.decode() for name, value in metadata.items()}
    return {name: network for name, network in networks.items() if network != NO_NETWORK}


def _column(name: str, kind: pa.DataType, unit: str, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})


def _signal() -> list[pa.Field]:
    """The columns that say which images a row is about."""
    return [
        _column("signal", pa.string(), "", "enhanced, curve, map, input, codec or codec_input"),
        _column("alpha", pa.float64(), "1", "0 full transport, 1 input; null for controls"),
        _column("low_share", pa.float64(), "1", "enhance.low_share of a row of map; else null"),
    ]


def _number(name: str, unit: str, meaning: str) -> pa.Field:
    return _column(name, pa.float64(), unit, meaning)


def _errors(metrics: Iterable[Metric]) -> list[pa.Field]:
    return [_number(m.error.column, m.unit, m.error.meaning) for m in metrics if m.error]


def _changes(metrics: Iterable[Metric]) -> list[pa.Field]:
    """The columns of the change of each metric that has one: value, error, and its own images."""
    fields = list[pa.Field]()
    for metric in metrics:
        if (change := change_of(metric)) is None:
            continue
        fields.append(_number(change.column, metric.unit, change.meaning))
        fields.append(_number(change.error.column, metric.unit, change.error.meaning))
        if change.images != FEATURED:
            meaning = "images that this mean is over"
            fields.append(_column(change.images, pa.int64(), "", meaning))
    return fields


def _values_and_errors(metrics: Iterable[Metric]) -> list[pa.Field]:
    """The column of each metric, followed by those of its error and its change if it has them."""
    return [
        field
        for metric in metrics
        for field in (
            _number(metric.column, metric.unit, metric.meaning),
            *_errors([metric]),
            *(_changes([metric]) if metric.basis != "image" else ()),
        )
    ]
