"""The results as a table: values with errors, the best ones marked, and what is missing."""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from tasks.config import Config
from tasks.io.extractors import extractor_identity
from tasks.io.figures import is_curve_measured, perception_column
from tasks.io.pages import render_table
from tasks.io.perceptual import LPIPS_SHORTEST_SIDE, lpips_identity
from tasks.io.workspace import CURVE, Signal, Workspace

Row = Mapping[str, Any]
"""A row of the fidelity table."""

NAMES = {"frechet_name": "FD", "kernel_name": "KD", "lpips_name": "LPIPS"}
"""What metrics are called where the summary does not say which network they had."""


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


def summary_facts(workspace: Workspace, artifact: str) -> dict[str, str]:
    """What the summary says of its networks: names of metrics, sizes, warnings."""
    schema = pq.read_schema(io.BytesIO(workspace.store.read(f"{artifact}.parquet")))
    found = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
    return NAMES | found


def warnings_of(facts: Mapping[str, str]) -> list[str]:
    """What a reader must know before the numbers are believed."""
    return [str(warning) for warning in json.loads(facts.get("warnings", "[]"))]


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
    if sum(_has(shown, column.name) for column in COLUMNS) > len(_MAIN):
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
        return not _has(rivals, "kernel_corrected") and min(known, default=0) >= 0
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


def gaps(config: Config, rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    """What a reader would miss in the table, and why it is not there."""
    shown = [row for row in rows if row["signal"] != CURVE.name]
    found = []
    if config.natural_name == config.reference_name:
        found.append(
            "The operator was fitted on images that are scored here, as corpora.natural is not "
            "given, so the numbers are optimistic."
        )
    if config.reference_name is None:
        found.append("No reference corpus is given, so there are no distortion metrics.")
    else:
        found += _distortion_gaps(config, shown, facts)
    return found + _feature_gaps(config, shown) + _curve_gaps(config, rows)


def line_in_words(rows: Sequence[Row]) -> str:
    """What the line of the curve's figure leaves out, if it does."""
    if perception_column(rows) is None or is_curve_measured(rows):
        return ""
    return "The line of the curve's figure goes through the written alphas only."


def _curve_gaps(config: Config, rows: Sequence[Row]) -> list[str]:
    """Points of the curve that have no perceptual distance, though they could have one."""
    curve, note = config.evaluate.curve, line_in_words(rows)
    if not note or curve is None or not config.curve_alphas:
        return []
    if curve.networks or perception_column(rows) == "gelbrich":
        return [note]
    return [f"{note} evaluate.curve.networks: true measures all points of the curve."]


def _distortion_gaps(config: Config, rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    net, found = config.evaluate.lpips, []
    if any(row["images"] == 0 for row in rows):
        found.append("Some signals have no image with metrics; the column `reason` says why.")
    if net is None:
        return [*found, "LPIPS was not asked for (evaluate.lpips is null)."]
    if not _has(rows, "lpips") and lpips_identity(net, config.weights) is None:
        remedy = (
            "Put them into torch's hub folder (TORCH_HOME), or have `dotpipe weights pull` fetch "
            "them where there is a connection, and run `dotpipe run` again."
        )
        return [
            *found,
            f"LPIPS is missing: the weights of its network ({net}) could not be had. {remedy}",
        ]
    name = facts["lpips_name"]
    if not _has(rows, "lpips"):
        found.append(f"LPIPS needs images of {LPIPS_SHORTEST_SIDE} pixels a side or more.")
    elif "altered" in name:
        found.append(f"LPIPS was computed with weights other than the published ones: {name}.")
    return found


def _feature_gaps(config: Config, rows: Sequence[Row]) -> list[str]:
    network = config.evaluate.features
    metrics = "The metrics of features (Fréchet and kernel distance, Inception Score, precision, "
    metrics += "recall)"
    if network is None:
        return [f"{metrics} were not asked for (evaluate.features is null)."]
    if not _has(rows, "frechet"):
        if extractor_identity(network, config.weights) is None:
            return [
                f"{metrics} are missing: the weights of their network ({network}) could not be "
                "had. `dotpipe weights pull CONFIG DEST` fetches them on a machine with a "
                "connection; run `dotpipe run` again when they are there."
            ]
        return [f"{metrics} are missing: too few images are large enough for {network}."]
    lacking = {
        "frechet_extrapolated": "the extrapolated Fréchet distance",
        "kernel": "the kernel distance",
        "precision": "precision and recall",
    }
    few = [words for name, words in lacking.items() if not _has(rows, name)]
    found = [f"There are too few images for {' and '.join(few)}."] if few else []
    if not _has(rows, "inception_score"):
        found.append(f"There is no Inception Score: {network} has no classes, or images are few.")
    return found


def _title(column: Column, facts: Mapping[str, str]) -> str:
    """A column's title, the sign of the limit behind the name and before what is in brackets."""
    name, bracket, rest = facts["frechet_name"].partition(" (")
    return column.title.format_map({**facts, "frechet_limit": f"{name}∞{bracket}{rest}"})


def _column(name: str) -> Column:
    return next(column for column in COLUMNS if column.name == name)


def _has(rows: Iterable[Row], name: str) -> bool:
    return any(row.get(name) is not None for row in rows)


def _table(rows: Sequence[Row], facts: Mapping[str, str], rivals: Sequence[Row]) -> Table:
    columns = [column for column in COLUMNS if _has(rows, column.name)]
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
