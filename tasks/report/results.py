"""The results of a run as tables: values with their errors, the best ones marked."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.evaluate.changes import CONFIDENCE, Difference
from tasks.evaluate.curve import curve_metric
from tasks.evaluate.feature_distances import compared_in_words
from tasks.io.artifacts.metric_registry import (
    SECOND,
    Metric,
    curve_names,
    metrics_to_choose_by,
    shown_metrics,
)
from tasks.io.artifacts.metrics import change_of
from tasks.io.workspace import CURVE, Signal
from tasks.report.pages import Cell, Table, digits_of, number

Row = Mapping[str, Any]
"""A row of the fidelity table."""


_IMAGES = Metric(
    column="images",
    basis="image",
    better=None,
    meaning="images with distortion metrics",
    title="images",
    digits=0,
)
"""The first column is no metric, but how many images the means of the others are over. Without a
reference there are none of either, and it is left out: it would read as if none were enhanced."""

_ARROWS = {"more": "↑", "less": "↓", None: ""}


def results_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of every written alpha and control, the best enhanced values marked.

    Columns without a value are left out.

    Args:
        rows: of the fidelity table.
        facts: its metadata, which say what the metrics are called.
    """
    shown = [row for row in rows if row["signal"] != CURVE.name]
    return _table(shown, facts, [row for row in shown if row["signal"] == "enhanced"])


def curve_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of the curve's points, no value of which is marked."""
    return _table([row for row in rows if row["signal"] == CURVE.name], facts, [])


def results_text(
    rows: Sequence[Row], facts: Mapping[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of the results table for a terminal.

    There is no room for errors. If there are many columns, only those that alpha can be chosen
    by are shown.
    """
    shown = [row for row in rows if row["signal"] != CURVE.name]
    main = [metric.column for metric in metrics_to_choose_by().values()]
    if sum(has_values(shown, metric.column) for metric in _columns()) > len(main):
        kept = ("signal", "alpha", *main)
        shown = [{name: row[name] for name in kept} for row in shown]
    titles, lines = results_table(shown, facts)
    return titles, [[cell.text for cell in line] for line in lines]


def changes_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of what each row changed in each image against the input.

    It has no lines where the input has no metrics.

    Args:
        rows: of the fidelity table.
        facts: its metadata, which say what the metrics are called.
    """
    lines = {
        Signal(row["signal"], row["alpha"]).label: {
            metric: change
            for metric in shown_metrics()
            if (change := Difference.of(row, metric)) is not None
        }
        for row in rows
        if row["signal"] != CURVE.name
    }
    metrics = [m for m in shown_metrics() if any(m in changes for changes in lines.values())]
    digits = {
        m: max(changes[m].digits(m.digits or 0) for changes in lines.values() if m in changes)
        for m in metrics
    }
    return Table(
        ["", *(heading(metric, facts) for metric in metrics)],
        [
            [Cell(label), *(_change(changes.get(m), m, digits[m]) for m in metrics)]
            for label, changes in lines.items()
            if changes
        ],
    )


def changes_text(
    rows: Sequence[Row], facts: Mapping[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of the table of changes for a terminal."""
    titles, lines = changes_table(rows, facts)
    return titles, [[f"{cell.text} {cell.error}".rstrip() for cell in line] for line in lines]


def changes_legend() -> str:
    """Sentences on how the table of changes is to be read."""
    return (
        "The value less that of the same images as they came, and ± the standard error of this "
        "difference. It is small, as what images differ in is in both values. "
        f"“Better” and “worse” stand where the {CONFIDENCE:.0%} interval (Student's t) leaves out "
        "0."
    )


def results_legend(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Sentences on how the numbers of the results table are to be read."""
    present = {name for row in rows for name, value in row.items() if value is not None}
    sentences = [
        "Means over the images that have the metric; ± is the standard error of one row. All rows "
        "share the same images, so differences between rows are known better than ± suggests."
    ]
    if "frechet" in present and "compared_with" in facts:
        sentences.append(compared_in_words(facts))
    if present & {"kernel_spread", "inception_score_spread"}:
        sentences.append(
            "For kernel distance and Inception Score ± is the spread over subsets or splits."
        )
    if "kernel_corrected" in present:
        sentences.append(
            f"{facts['kernel_name']} corrected leaves out the comparison of an image with its own "
            "reference, which makes the plain one too small."
        )
    if "frechet_extrapolated" in present:
        sentences.append("A name with ∞ is extrapolated to infinitely many images.")
    return " ".join(sentences)


def results_units(facts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What each column is called, its unit, which values are better, and its error's column."""
    return {
        metric.column: {
            "title": _title(metric, facts),
            "unit": metric.unit,
            "better": metric.better or "",
            "error": metric.error.column if metric.error else "",
            "change": change.column if (change := change_of(metric)) else "",
            "change_error": change.error.column if change else "",
            "change_images": change.images if change else "",
        }
        for metric in _columns()
    }


def curve_in_words(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The curve's figure in words, for those who do not see it; empty if there is no figure."""
    drawn = curve_metric(rows)
    if drawn is None:
        return ""
    digits = digits_of(drawn, (row.get(drawn.column) for row in rows))
    points = [
        f"{Signal(row['signal'], row['alpha']).label}: {number(row['psnr'], 2)} dB, "
        f"{number(row[drawn.column], digits)}"
        for row in rows
        if row["signal"] in ("enhanced", "input") and row.get(drawn.column) is not None
    ]
    name = curve_names(facts)[drawn.column]
    return f"Perception-distortion curve, PSNR and {name}. {'; '.join(points)}."


def _is_best(metric: Metric, value: float | None, values: Iterable[float | None]) -> bool:
    """Whether a value is the best of these."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    if metric.better is None or value is None or not known:
        return False
    return value == (max(known) if metric.better == "more" else min(known))


def _is_ranked(metric: Metric, rivals: Sequence[Row], facts: Mapping[str, str]) -> bool:
    """Whether a best value of a metric may be marked: not where too few images distort it."""
    column = metric.column.removesuffix(SECOND)
    end = metric.column.removeprefix(column)
    if column == "frechet_extrapolated":
        counts = [row["featured"] for row in rivals if row.get("featured")]
        counts += [int(facts[name]) for name in ("reference_images",) if name in facts]
        return min(counts, default=0) >= int(facts.get("dimension", 0))
    if column == "kernel":
        known = [value for row in rivals if (value := row.get(metric.column)) is not None]
        return not has_values(rivals, f"kernel_corrected{end}") and min(known, default=0) >= 0
    return True


def _columns() -> tuple[Metric, ...]:
    return (_IMAGES, *shown_metrics())


def heading(metric: Metric, facts: Mapping[str, str]) -> str:
    """The title of a metric's column, with an arrow to the better values, and its unit."""
    unit = f" ({metric.unit})" if metric.unit != "1" else ""
    return f"{_title(metric, facts)} {_ARROWS[metric.better]}".rstrip() + unit


def _title(metric: Metric, facts: Mapping[str, str]) -> str:
    """A metric's title, the sign of the limit behind the name and before what is in brackets."""
    name, bracket, rest = facts["frechet_name"].partition(" (")
    names = {"second_compared_with": "a second data set", **facts}
    return metric.title.format_map({**names, "frechet_limit": f"{name}∞{bracket}{rest}"})


def has_values(rows: Iterable[Row], name: str) -> bool:
    """Whether a column has any value in these rows."""
    return any(row.get(name) is not None for row in rows)


def _table(rows: Sequence[Row], facts: Mapping[str, str], rivals: Sequence[Row]) -> Table:
    """The table of these rows; the best values among the rivals, which are some of them, marked."""
    compared = [row for row in rows if row.get(_IMAGES.column)]
    metrics = [metric for metric in _columns() if has_values(rows, metric.column)]
    metrics = [metric for metric in metrics if compared or metric is not _IMAGES]
    titles = ["", *(heading(metric, facts) for metric in metrics)]
    lines = [[Cell(Signal(row["signal"], row["alpha"]).label)] for row in rows]
    for metric in metrics:
        digits = digits_of(metric, (row.get(metric.column) for row in rows))
        values = [row.get(metric.column) for row in rivals]
        ranked = rivals if _is_ranked(metric, rivals, facts) else []
        for line, row in zip(lines, rows, strict=True):
            value = row.get(metric.column)
            error = row.get(metric.error.column) if metric.error else None
            text = "" if error is None else f"± {number(error, digits)}"
            best = any(row is rival for rival in ranked) and _is_best(metric, value, values)
            line.append(Cell(number(value, digits), text, best))
    return Table(titles, lines)


def _change(change: Difference | None, metric: Metric, digits: int) -> Cell:
    if change is None:
        return Cell(number(None, digits))
    text, error = change.parts(digits)
    return Cell(text, error, verdict=change.verdict(metric))
