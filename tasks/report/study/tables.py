"""The tables of a study: values with their errors, and differences to its first point."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tasks.io.artifacts.metric_registry import Metric, ranked_metrics
from tasks.report.pages import Cell, Table, digits_of, number
from tasks.report.study.rows import StudyRow, StudyRows
from tasks.report.tables.names import heading, main_columns


def results_of_study(found: StudyRows) -> Table:
    """The main metrics of every point at every written alpha, the best enhanced ones marked."""
    main = main_columns([row.values for row in found.rows], found.facts)
    metrics = [metric for metric in found.metrics if metric.column in main]
    digits = {metric: _digits(metric, found.rows) for metric in metrics}
    best = {metric: _best(metric, found.rows) for metric in found.comparable}
    lines = [
        [
            *_words(row),
            *(_cell(row, metric, digits[metric], best.get(metric)) for metric in metrics),
        ]
        for row in _inputs_first(found.rows)
    ]
    return Table([*_titles(found), *(heading(metric, found.facts) for metric in metrics)], lines)


def differences_of_study(found: StudyRows) -> Table:
    """What changed in each image against the first point, at the same alpha."""
    metrics = [
        metric
        for metric in ranked_metrics(found.facts)
        if any(metric.column in row.changes for row in found.rows)
    ]
    lines = [
        [*_words(row), *(_change(row, metric) for metric in metrics)]
        for row in found.rows
        if row.changes and row.signal.name == "enhanced"
    ]
    return Table([*_titles(found), *(heading(metric, found.facts) for metric in metrics)], lines)


def _digits(metric: Metric, rows: Sequence[StudyRow]) -> int:
    """How many digits follow the point: of no error more than two that count."""
    most = digits_of(metric, [row.values.get(metric.column) for row in rows])
    column = "" if metric.error is None else metric.error.column
    errors = [error for row in rows if (error := row.values.get(column)) and math.isfinite(error)]
    return min(most, max(0, 1 - math.floor(math.log10(min(errors))))) if errors else most


def _inputs_first(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """The rows with inputs first; of a single one, the words say that it is that of all points."""
    found = list(_without_repeated_inputs(rows))
    inputs = [row for row in found if row.signal.name == "input"]
    others = [row for row in found if row.signal.name != "input"]
    if len(inputs) == 1:
        inputs = [inputs[0]._replace(words=dict.fromkeys(inputs[0].words, "all"))]
    return inputs + others


def _without_repeated_inputs(rows: Sequence[StudyRow]) -> Iterator[StudyRow]:
    """Yield the rows without inputs that are those of an earlier point: the same images."""
    seen = set[tuple[Any, ...]]()
    for row in rows:
        if row.signal.name == "input":
            known = tuple(row.values.get(name) for name in ("images", "mse", "niqe", "frechet"))
            if known in seen:
                continue
            seen.add(known)
        yield row


def _titles(found: StudyRows) -> list[str]:
    return [*(found.rows[0].words if found.rows else ()), "alpha"]


def _words(row: StudyRow) -> list[Cell]:
    alpha = "input" if row.signal.name == "input" else f"{row.signal.alpha:g}"
    return [*map(Cell, row.words.values()), Cell(alpha)]


def _cell(row: StudyRow, metric: Metric, digits: int, best: float | None) -> Cell:
    value = row.values.get(metric.column)
    error = None if metric.error is None else row.values.get(metric.error.column)
    told = "" if error is None else f"± {number(error, digits)}"
    is_best = value is not None and value == best and row.signal.name == "enhanced"
    return Cell(number(value, digits), told, best=is_best)


def _best(metric: Metric, rows: Sequence[StudyRow]) -> float | None:
    values = [row.values.get(metric.column) for row in rows if row.signal.name == "enhanced"]
    known = [float(value) for value in values if value is not None and math.isfinite(value)]
    if metric.better is None or not known:
        return None
    return max(known) if metric.better == "more" else min(known)


def _change(row: StudyRow, metric: Metric) -> Cell:
    difference = row.changes.get(metric.column)
    if difference is None:
        return Cell("–")
    text, error = difference.parts(difference.digits(metric.digits or 0))
    return Cell(text, error, verdict=difference.verdict(metric))
