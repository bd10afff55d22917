"""The rows of a study: its points' results, and what changed in each image against the first."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.evaluate.changes import Difference
from tasks.io.artifacts.metric_registry import Metric, shown_metrics
from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.workspace import Signal
from tasks.report.comparison.compare import paired_differences
from tasks.report.comparison.runs import Side
from tasks.report.report import report_artifact
from tasks.report.tables.rows import shown_rows
from tasks.study.points import Point

SHOWN = ("enhanced", "input")
"""The signals of which a study shows rows: every written alpha, and the input."""


NONE_FAILED: Mapping[str, str] = MappingProxyType({})
"""No point that could not be done."""


class StudyRow(NamedTuple):
    """One signal of one point."""

    words: dict[str, str]
    """What stands for the point's values, by option."""
    run: str
    """Name of the point's run."""
    signal: Signal
    values: Mapping[str, Any]
    """Of the point's fidelity table, by column."""
    changes: dict[str, Difference]
    """The mean difference to the same signal of the first point, over the images that both have, by
    the column of its metric; empty for the first point itself."""


class StudyRows(NamedTuple):
    """What is known of the points of a study."""

    rows: list[StudyRow]
    facts: dict[str, str]
    """Metadata of the first point's table, which say what metrics are called."""
    lacking: list[str]
    """Sentences on the points that have no results."""
    reports: Mapping[str, str] = {}
    """Artifacts of the reports of the points that have results, by their words."""
    measured: Sequence[tuple[dict[str, str], Sequence[Mapping[str, Any]]]] = ()
    """Words of each point that has results, with all rows of its fidelity table."""

    @property
    def metrics(self) -> list[Metric]:
        """The metrics that have values, in the order of the results table."""
        return [
            metric
            for metric in shown_metrics(self.facts)
            if any(row.values.get(metric.column) is not None for row in self.rows)
        ]

    @property
    def comparable(self) -> list[Metric]:
        """Those of these metrics that mean the same at all points.

        The distance of latent patches does not where the points have other patches or latents.
        """
        options = {option for row in self.rows for option in row.words}
        has_other_patches = any(
            f"{option}.".startswith(f"{place}.") for option in options for place in _OF_LATENTS
        )
        return [m for m in self.metrics if not (m.column == "gelbrich" and has_other_patches)]


_OF_LATENTS = ("codec", "patches.size")
"""Options that change what a metric of latent patches is measured in."""


def read_rows(points: Sequence[Point], failed: Mapping[str, str] = NONE_FAILED) -> StudyRows:
    """Return the rows of all points that have results, in the order of the study.

    Differences are to the first point that has results.

    Args:
        points: of the study.
        failed: why points could not be done, by their words.
    """
    first: Side | None = None
    rows, lacking, reports = list[StudyRow](), list[str](), dict[str, str]()
    measured = list[tuple[dict[str, str], Sequence[Mapping[str, Any]]]]()
    for point in points:
        try:
            side = Side.of(point.config, point.label)
        except StepMissing:
            why = failed.get(point.label)
            lacking.append(f"{point.label} has no results{f': {why}' if why else ' yet'}")
            continue
        except DotpipeError as error:
            lacking.append(f"{point.label} has no results: {error}")
            continue
        rows += _rows_of(point, side, first)
        measured.append((point.words, side.rows))
        first, reports[point.label] = first or side, report_artifact(side.run)
    return StudyRows(rows, {} if first is None else first.facts, lacking, reports, measured)


def _rows_of(point: Point, side: Side, first: Side | None) -> Iterator[StudyRow]:
    others = () if first is None else first.signals
    for values in shown_rows(side.rows, side.facts):
        signal = Signal(values["signal"], values["alpha"])
        if signal.name not in SHOWN:
            continue
        changes = dict[str, Difference]()
        if first is not None and signal in others:
            found = paired_differences(first, side, signal)
            changes = {metric.column: difference for metric, difference in found.items()}
        yield StudyRow(point.words, point.config.name, signal, values, changes)


def as_table(found: StudyRows) -> pa.Table:
    """Return the rows as a table: options in words, alpha, metrics, errors and differences.

    A column of an option is called as the option; ``run`` is the name of the point's run.
    """
    lines = [_line(row, found.metrics) for row in found.rows]
    names = list(dict.fromkeys(name for line in lines for name in line))
    return pa.table({name: [line.get(name) for line in lines] for name in names})


def _line(row: StudyRow, metrics: Sequence[Metric]) -> dict[str, Any]:
    line: dict[str, Any] = {**row.words, "run": row.run, "signal": row.signal.name}
    line |= {"alpha": row.signal.alpha, "images": row.values.get("images")}
    for metric in metrics:
        line[metric.column] = row.values.get(metric.column)
        if metric.error is not None:
            line[metric.error.column] = row.values.get(metric.error.column)
        change = row.changes.get(metric.column)
        if metric.basis == "image" and not metric.is_change:
            name = f"{metric.column}_less_first"
            line[name] = None if change is None else change.value
            line[f"{name}_error"] = None if change is None else change.error
            line[f"{name}_images"] = None if change is None else change.images
    return line
