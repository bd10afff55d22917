"""The results as a table: values with errors, and the best ones marked."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.io.workspace import CURVE, Signal
from tasks.report.figures import perception_column
from tasks.report.pages import render_table

Row = Mapping[str, Any]
"""A row of the fidelity table."""


class Column(NamedTuple):
    """A column of the results table.

    ``better`` is the arrow's direction; ``digits`` after the point, None for four that
    count in the column's largest value.
    """

    name: str
    title: str
    better: str = ""
    unit: str = ""
    digits: int | None = None
    error: str = ""


COLUMNS = (
    Column("images", "images", digits=0),
    Column("psnr", "PSNR", "↑", "dB", 2, "psnr_error"),
    Column("ssim", "SSIM", "↑", "", 4, "ssim_error"),
    Column("lpips", "{lpips_name}", "↓", "", 4, "lpips_error"),
    Column("frechet", "{frechet_name}", "↓", "", None, "frechet_error"),
    Column("frechet_extrapolated", "{frechet_limit}", "↓"),
    Column("kernel", "{kernel_name}", "↓", "", None, "kernel_spread"),
    Column("kernel_corrected", "{kernel_name} corrected", "↓"),
    Column("inception_score", "IS", "↑", "", 2, "inception_score_spread"),
    Column("precision", "precision", "↑", "", 3),
    Column("recall", "recall", "↑", "", 3),
    Column("gelbrich", "Gelbrich", "↓"),
)


_MAIN = ("psnr", "ssim", "lpips", "frechet", "kernel", "gelbrich")
"""What is shown where all of the columns have no room."""


class Cell(NamedTuple):
    """A value of the table as text, with its error or without."""

    text: str
    error: str = ""
    best: bool = False


class Table(NamedTuple):
    """Titles of the columns, and the lines; the first cell of a line names it."""

    titles: list[str]
    lines: list[list[Cell]]


def results_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """Every signal that is a data set or a control; columns without a value are left out."""
    shown = [row for row in rows if row["signal"] != CURVE.name]
    return _table(shown, facts, [row for row in shown if row["signal"] == "enhanced"])


def curve_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The points of the curve, none of them marked."""
    return _table([row for row in rows if row["signal"] == CURVE.name], facts, [])


def results_text(
    rows: Sequence[Row], facts: Mapping[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of the results table for a terminal.

    There is no room for errors, nor for more than the main columns if there are many.
    """
    shown = [row for row in rows if row["signal"] != CURVE.name]
    if sum(has_values(shown, column.name) for column in COLUMNS) > len(_MAIN):
        kept = ("signal", "alpha", *_MAIN)
        shown = [{name: row[name] for name in kept} for row in shown]
    titles, lines = results_table(shown, facts)
    return titles, [[cell.text for cell in line] for line in lines]


def results_markdown(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The results table as Markdown, the best enhanced value of each column in bold."""
    titles, lines = results_table(rows, facts)
    return render_table(titles, [[_marked(cell) for cell in line] for line in lines])


def results_units(facts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What each column is called, its unit, and where the better values are."""
    better = {"↑": "more", "↓": "less", "": ""}
    return {
        column.name: {
            "title": _title(column, facts),
            "unit": column.unit or "1",
            "better": better[column.better],
            "error": column.error,
        }
        for column in COLUMNS
    }


def curve_names(facts: Mapping[str, str]) -> dict[str, str]:
    """What the curve's figure calls its distances."""
    return {
        "frechet": facts["frechet_name"],
        "lpips": facts["lpips_name"],
        "gelbrich": "Gelbrich distance of latent patches",
    }


def curve_in_words(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The curve for those who do not see it."""
    drawn = perception_column(rows)
    column = next((each for each in COLUMNS if each.name == drawn), None)
    if column is None:
        return ""
    digits = digits_of(column, (row.get(column.name) for row in rows))
    points = [
        f"{Signal(row['signal'], row['alpha']).label}: {number(row['psnr'], 2)} dB, "
        f"{number(row[column.name], digits)}"
        for row in rows
        if row["signal"] in ("enhanced", "input") and row.get(column.name) is not None
    ]
    return (
        f"Perception-distortion curve, PSNR and {curve_names(facts)[column.name]}. "
        + "; ".join(points)
        + "."
    )


def ranked_title(metric: str, facts: Mapping[str, str]) -> str:
    """A metric of single images, as the tables call it."""
    column = _column(metric)
    unit = f" ({column.unit})" if column.unit else ""
    return f"{_title(column, facts)} {column.better}{unit}"


def ranked_digits(metric: str) -> int:
    """How many digits follow the point in a metric of single images."""
    return _column(metric).digits or 0


def _is_best(column: Column, value: float | None, values: Iterable[float | None]) -> bool:
    """Whether a value is the best of these."""
    known = [v for v in values if v is not None and not math.isnan(v)]
    if not column.better or value is None or not known:
        return False
    return value == (max(known) if column.better == "↑" else min(known))


def _is_ranked(column: Column, rivals: Sequence[Row], facts: Mapping[str, str]) -> bool:
    """Whether the best value of a column can be told at all."""
    if column.name == "frechet_extrapolated":
        counts = [row["featured"] for row in rivals if row.get("featured")]
        counts += [int(facts[name]) for name in ("reference_images",) if name in facts]
        return min(counts, default=0) >= int(facts.get("dimension", 0))
    if column.name == "kernel":
        known = [row["kernel"] for row in rivals if row.get("kernel") is not None]
        return not has_values(rivals, "kernel_corrected") and min(known, default=0) >= 0
    return True


def number(value: float | None, digits: int) -> str:
    """A number as the tables show it."""
    return "–" if value is None else f"{value:.{digits}f}".replace("inf", "∞")


def digits_of(column: Column, values: Iterable[float | None]) -> int:
    """How many digits follow the point in a column."""
    if column.digits is not None:
        return column.digits
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    return min(5, max(0, 3 - math.floor(math.log10(max(sizes))))) if sizes else 4


def _title(column: Column, facts: Mapping[str, str]) -> str:
    """A column's title, the sign of the limit behind the name and before what is in brackets."""
    name, bracket, rest = facts["frechet_name"].partition(" (")
    return column.title.format_map({**facts, "frechet_limit": f"{name}∞{bracket}{rest}"})


def _column(name: str) -> Column:
    return next(column for column in COLUMNS if column.name == name)


def has_values(rows: Iterable[Row], name: str) -> bool:
    """Whether a column has any value in these rows."""
    return any(row.get(name) is not None for row in rows)


def _table(rows: Sequence[Row], facts: Mapping[str, str], rivals: Sequence[Row]) -> Table:
    columns = [column for column in COLUMNS if has_values(rows, column.name)]
    titles = [""]
    for column in columns:
        unit = f" ({column.unit})" if column.unit else ""
        titles.append(f"{_title(column, facts)} {column.better}".rstrip() + unit)
    lines = [[Cell(Signal(row["signal"], row["alpha"]).label)] for row in rows]
    for column in columns:
        digits = digits_of(column, (row.get(column.name) for row in rows))
        values = [row.get(column.name) for row in rivals]
        ranked = rivals if _is_ranked(column, rivals, facts) else []
        for line, row in zip(lines, rows, strict=True):
            value, error = row.get(column.name), row.get(column.error)
            text = "" if error is None else f"± {number(error, digits)}"
            best = any(row is rival for rival in ranked) and _is_best(column, value, values)
            line.append(Cell(number(value, digits), text, best))
    return Table(titles, lines)


def _marked(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.best else cell.text
    return f"{text} {cell.error}".rstrip()
