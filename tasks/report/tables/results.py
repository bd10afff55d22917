"""The results of a run as tables: values with their errors, the best ones marked."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from tasks.config.sections import Enhance
from tasks.evaluate.curve import curve_axes, curve_metric, sampler_psnr
from tasks.evaluate.summarise import SUBJECTS, warnings_of
from tasks.io.artifacts.metric_registry import SECOND, Metric, curve_names
from tasks.io.workspace import CURVE, Signal
from tasks.report.pages import Cell, Table, digits_of, number
from tasks.report.tables.dials import alpha_in_words
from tasks.report.tables.names import MOVED, Row, columns_of, has_values, heading, main_columns
from tasks.report.tables.rows import meanings_of_rows, shown_rows, with_counts


def results_table(
    rows: Sequence[Row], facts: Mapping[str, str], columns: Collection[str] | None = None
) -> Table:
    """The table of every written alpha and control, the best enhanced values marked.

    Columns without a value are left out.

    Args:
        rows: of the fidelity table.
        facts: its metadata, which say what the metrics are called.
        columns: the only ones to show; None for all.
    """
    shown = shown_rows(rows, facts)
    rivals = [row for row in shown if row["signal"] == "enhanced"]
    return _table(shown, facts, rivals, columns)


def main_results(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of the few columns that there is always room for."""
    return results_table(rows, facts, main_columns(rows))


def has_more_columns(rows: Sequence[Row], facts: Mapping[str, str]) -> bool:
    """Whether the table of all columns has more than that of the main ones."""
    columns = {metric.column for metric in columns_of(shown_rows(rows, facts))}
    return not columns <= set(main_columns(rows))


def curve_table(rows: Sequence[Row], facts: Mapping[str, str]) -> Table:
    """The table of the curve's points, no value of which is marked."""
    return points_table(rows, facts, CURVE.name)


def points_table(rows: Sequence[Row], facts: Mapping[str, str], signal: str) -> Table:
    """The table of all rows of a signal, no value of which is marked."""
    points = [row for row in rows if row["signal"] == signal]
    return _table(with_counts(points, facts), facts, [])


def results_text(
    rows: Sequence[Row], facts: Mapping[str, str]
) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of the results table for a terminal.

    There is no room for errors. If there are many columns, only those that alpha can be chosen
    by are shown.
    """
    titles, lines = results_table(rows, facts, columns_of_text(rows, facts))
    return titles, [[cell.text for cell in line] for line in lines]


def text_warnings(rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    """The warnings without those on metrics that ``results_text`` does not show."""
    shown = columns_of_text(rows, facts)
    hidden = [subject for name, subject in SUBJECTS.items() if name not in shown]
    return [text for text in warnings_of(facts) if not text.startswith(tuple(hidden))]


def text_legend(rows: Sequence[Row], facts: Mapping[str, str], options: Enhance) -> str:
    """A sentence on each row and column of ``results_text`` that does not explain itself."""
    meanings = meanings_of_rows(rows, facts).items()
    alpha = f"alpha {alpha_in_words(options)}"
    told = "; ".join([alpha, *(f"{row} is {meaning}" for row, meaning in meanings)])
    shown = columns_of_text(rows, facts)
    sentences = [f"{told}."]
    if "gelbrich" in shown:
        before = ", before decoding" if options.low_band else ""
        distance = f"the squared distance of latent patches to those of natural images{before}"
        sentences.append(f"Gelbrich is {distance}.")
    if "indrmse" in shown:
        sentences.append(MOVED)
    return " ".join(sentences)


def columns_of_text(rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    """The columns that a terminal shows: all that tell something where they are few."""
    _, *main = main_columns(rows)
    known = columns_of(shown_rows(rows, facts))
    told = [metric.column for metric in known if metric.column in main or not metric.is_change]
    return [name for name in told if name in main] if len(told) > len(main) else told


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


def curve_in_words(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The curve's figure in words, for those who do not see it; empty if there is no figure."""
    drawn = curve_axes(rows)
    if drawn is None:
        return ""
    across, up = drawn
    digits = digits_of(up, (row.get(up.column) for row in rows))
    unit = across.unit if across.unit == "dB" else f"{across.unit}s"
    points = [
        f"{Signal(row['signal'], row['alpha']).label}: {number(row.get(across.column), 2)} {unit}, "
        f"{number(row[up.column], digits)}"
        for row in rows
        if row["signal"] in ("enhanced", "input") and row.get(up.column) is not None
    ]
    name = curve_names(facts)[up.column]
    if across.column != "psnr":
        return f"Distance to the input (IndRMSE) and {name}. {'; '.join(points)}."
    return f"Perception-distortion curve, PSNR and {name}. {'; '.join(points)}."


def curve_heading(rows: Sequence[Row]) -> tuple[str, str]:
    """What the curve's figure is called, and a sentence on its directions.

    Args:
        rows: of the fidelity table.
    """
    drawn = curve_axes(rows)
    if drawn is None or drawn.across.column == "psnr":
        trade = "trades distortion (to the right is better) for perception (down is better)"
        return "Perception and distortion", f"Each alpha {trade}."
    return (
        "Perception and distance to the input",
        "Without ground truth no distortion is known. In its place is how far the images of each "
        "alpha are from the input, root mean squared, by which their error can have grown at most. "
        "To the left is nearer to the input, down is nearer to natural images.",
    )


def theory_in_words(rows: Sequence[Row]) -> str:
    """A sentence on the line of a perfect posterior sampler; empty if the figure has none."""
    sampler = sampler_psnr(rows)
    full = [r["psnr"] for r in rows if r["signal"] in ("enhanced", "curve") and r["alpha"] == 0]
    if sampler is None or curve_metric(rows) is None or not full or full[0] is None:
        return ""
    gap = full[0] - sampler
    side = "above" if gap >= 0 else "below"
    return (
        "The dotted line is the PSNR of a perfect posterior sampler, which has twice the squared "
        "error of the posterior mean: 3.01 dB below the input, if that is the posterior mean. The "
        f"best transport to natural images loses no more; alpha 0 is {abs(gap):.2f} dB {side} it."
    )


def _table(
    rows: Sequence[Row],
    facts: Mapping[str, str],
    rivals: Sequence[Row],
    columns: Collection[str] | None = None,
) -> Table:
    """The table of these rows; the best values among the rivals, which are some of them, marked."""
    metrics = [m for m in columns_of(rows) if columns is None or m.column in columns]
    titles = ["", *(heading(metric, facts) for metric in metrics)]
    lines = [
        [Cell(Signal(row["signal"], row["alpha"], row.get("low_share")).label)] for row in rows
    ]
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
