"""The table of changes: what each row changed against the input."""

from collections.abc import Mapping, Sequence

from tasks.evaluate.changes import CONFIDENCE, Difference
from tasks.io.artifacts.metric_registry import Metric, shown_metrics
from tasks.io.workspace import Signal
from tasks.report.pages import Cell, Table, number
from tasks.report.tables.names import Row, heading
from tasks.report.tables.rows import told_rows


def changes_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of what each row changed against the input.

    It has no lines where the input has no metrics.

    Args:
        rows: of the fidelity table.
        facts: its metadata, which say what the metrics are called.
    """
    lines = {
        Signal(row["signal"], row["alpha"]).label: {
            metric: change
            for metric in shown_metrics(facts)
            if (change := Difference.of(row, metric)) is not None
        }
        for row in told_rows(rows)
    }
    metrics = [m for m in shown_metrics(facts) if any(m in changes for changes in lines.values())]
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


def _change(change: Difference | None, metric: Metric, digits: int) -> Cell:
    if change is None:
        return Cell(number(None, digits))
    text, error = change.parts(digits)
    return Cell(text, error, verdict=change.verdict(metric))
