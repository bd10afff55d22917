"""The outcome of a run: its results, the alphas that matter most and a chosen one in words."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.config import Config, Run
from tasks.config.sections import Enhance
from tasks.evaluate.changes import Difference
from tasks.evaluate.curve import with_map
from tasks.evaluate.overlap import overlap_of
from tasks.evaluate.summarise import (
    read_summary,
    summary_artifact,
    summary_facts,
    warnings_of,
)
from tasks.fit.operators import fitted
from tasks.io.artifacts.metric_registry import Metric, metrics_to_choose_by
from tasks.io.artifacts.more_metrics import NO_FACTS, Facts
from tasks.io.errors import StepMissing
from tasks.io.workspace import Signal
from tasks.report.choose import Choice
from tasks.report.measured_images import measured_on_the_fit
from tasks.report.missing_metrics import out_of_date
from tasks.report.pages import counted
from tasks.report.tables.names import Row, results_units, short_names


class Results(NamedTuple):
    """Rows of the fidelity table, its metadata, what it calls the metrics, and what to know.

    The curve has in them what the map knows of it.
    """

    rows: list[dict[str, Any]]
    facts: dict[str, str]
    titles: dict[str, str]
    notes: list[str]


def read_results(config: Config) -> Results:
    """The fidelity table that is there, with a note if it is not that of this configuration.

    Raises:
        StepMissing: there is none.
    """
    run = fitted(Run.of(config))
    workspace, artifact = run.workspace, summary_artifact(run)
    if not workspace.store.exists(f"{artifact}.parquet"):
        raise StepMissing("there is no fidelity table yet; run `dotpipe evaluate CONFIG` first")
    facts = summary_facts(workspace, artifact)
    units = results_units(facts)
    titles = {name: units[m.column]["title"] for name, m in metrics_to_choose_by(facts).items()}
    notes = [*measured_on_the_fit(facts), *warnings_of(facts), *out_of_date(run)]
    return Results(with_map(read_summary(workspace, artifact)), facts, titles, notes)


def outcome(rows: Sequence[Row], facts: Mapping[str, str]) -> list[str]:
    """What the enhanced images gained and lost, a sentence for each of two alphas at most.

    The first is of the written alpha nearest to the full transport, the second of the one
    nearest to half of it. Perceptual metrics of images come first, as a share of the input's
    value, then PSNR as a difference, or the distance to the input where there is none. Where the
    input has no metrics, the values themselves are said.

    Args:
        rows: of the fidelity table.
        facts: its metadata.
    """
    enhanced = [row for row in rows if row["signal"] == "enhanced" and row["alpha"] != 1]
    came = next((row for row in rows if row["signal"] == "input"), None)
    strongest = sorted(enhanced, key=lambda row: abs(row["alpha"]))[:1]
    halfway = sorted(enhanced, key=lambda row: (abs(row["alpha"] - 0.5), row["alpha"]))[:1]
    chosen = {row["alpha"]: row for row in (*strongest, *halfway)}
    said = [_sentence(row, came, facts) for row in chosen.values()]
    written = [row for row in rows if row["signal"] == "enhanced"]
    return [sentence for sentence in said if sentence] or [_count(written, facts)]


def shrunk_in_words(provenance: Mapping[str, Any]) -> list[str]:
    """A sentence on a map that was taken toward doing nothing, if that is a tenth of it or more.

    Args:
        provenance: of the operator, as it was fitted.
    """
    amount = provenance.get("shrunk_matrix") or 0.0
    if amount < 0.1:
        return []
    return [
        f"{100 * amount:.0f} % of what the map changes was taken back, as halves of the few images "
        "of the fit disagree about it. More images, or natural versions of the same ones under "
        "the same names, let it do more; `fit.shrink: 0` leaves it as it was fitted."
    ]


def describe(
    choice: Choice,
    names: Mapping[str, str],
    facts: Facts = NO_FACTS,
    now: Enhance | None = None,
) -> list[str]:
    """The choice in words, with what it costs and gains against the input.

    ``names`` are what the report calls the metrics, ``facts`` the table's metadata, ``now`` what
    a pair of dials may have already.
    """
    nearest = "the nearest to the full transport, where perception is best in theory,"
    why = f"the best {names[choice.best]}" if choice.best else nearest
    share = "" if choice.low_share is None else f" with low_share {choice.low_share:g}"
    lines = [f"alpha {choice.alpha:g}{share}: {why} within the bounds"]
    metrics = metrics_to_choose_by(facts)
    for metric, value in choice.numbers.items():
        entry = metrics[metric]
        line = f"  {names[metric]}: {entry.in_unit(f'{value:.4g}')}"
        lines.append(line + _against_input(choice, metric, value, entry))
    if choice.alpha == 1:
        lines.append("this is the image as it came; nothing has to be written")
    elif not (choice.is_written or _is_made(choice, now)):
        lines.append(f"it is not written yet: {_how_to_write(choice, now)} and run again")
    if choice.pair is not None:
        lines += ["of all pairs of dials of the map:", *describe(choice.pair, names, facts, now)]
    return lines


def _sentence(row: Row, came: Row | None, facts: Mapping[str, str]) -> str:
    """One alpha against the input; empty where nothing of it is known."""
    label, names = Signal(row["signal"], row["alpha"]).label, short_names(facts)
    parts = [] if came is None else list(_against(row, came, names))
    said = [f"{', '.join(parts)} against the input"] if parts else list(_values(row, names))
    said += _moved(row, names, "it" if parts else "the input")
    return f"{label}: {', '.join(said)}." if said else ""


def _against(row: Row, came: Row, names: Mapping[str, str]) -> Iterator[str]:
    """What changed in each metric, the perceptual ones first; over images that had it before."""
    for metric in _ranked(row):
        value, before = row.get(metric.column), came.get(metric.column)
        if value is None or before is None or not math.isfinite(value - before):
            continue
        name, difference = metric.title.format_map(names), Difference.of(row, metric)
        moved = value - before if difference is None else difference.value  # of the same images
        if metric.units:
            change = f"{name} {moved:+.1f} {metric.units}"
        elif before > 0:
            change = f"{name} {100 * moved / before:+.0f} %"
        else:
            continue
        by_chance = difference is not None and not difference.verdict(metric)
        yield _signed(change) + (" (may be chance)" if by_chance else "")


def _values(row: Row, names: Mapping[str, str]) -> Iterator[str]:
    """The values of an alpha where there is nothing to compare them with."""
    for metric in _ranked(row):
        value = row.get(metric.column)
        if value is not None and math.isfinite(value):
            yield f"{metric.title.format_map(names)} {metric.in_unit(f'{value:.4g}')}"


def _moved(row: Row, names: Mapping[str, str], what: str) -> Iterator[str]:
    """How far an alpha is from the input, where no PSNR says what it costs."""
    metric = metrics_to_choose_by()["change"]
    value = row.get(metric.column)
    if row.get("psnr") is None and value is not None and math.isfinite(value):
        yield f"{metric.in_unit(f'{value:.2g}')} from {what} ({metric.title.format_map(names)})"


def _ranked(row: Row) -> list[Metric]:
    """The metrics of a sentence: perceptual distances, PSNR or what needs no ground truth."""
    known = metrics_to_choose_by()
    cost = "psnr" if row.get("psnr") is not None else "niqe"
    return [known[name] for name in ("fid", "lpips", cost, "gelbrich")]


def _signed(text: str) -> str:
    """A text with the sign of subtraction for a hyphen before a number, and no signed zero."""
    return re.sub(r" [+-](?=0(?:\.0)? )", " ±", text).replace(" -", " −")


def _count(enhanced: Sequence[Row], facts: Mapping[str, str]) -> str:
    """How much was enhanced, where no metric is known."""
    overlap, alphas = overlap_of(facts), counted(len(enhanced), "alpha")
    if overlap is None:
        return f"Enhanced at {alphas}; nothing was measured."
    images = overlap.featured.measured + overlap.featured.left_out
    return f"Enhanced {counted(images, 'image')} at {alphas}; nothing was measured."


def _how_to_write(choice: Choice, now: Enhance | None) -> str:
    """What to change in the configuration, of what is not so already."""
    same = choice.low_share is None or _has_share(choice, now)
    known = now is not None and choice.alpha in now.alphas
    parts = [
        *([] if same else [f"set enhance.low_share: {choice.low_share:g}"]),
        *([] if known and not same else [f"add {choice.alpha:g} to enhance.alphas"]),
    ]
    return ", ".join(parts)


def _has_share(choice: Choice, now: Enhance | None) -> bool:
    return now is not None and choice.low_share == now.share_of_low_frequencies


def _is_made(choice: Choice, now: Enhance | None) -> bool:
    return now is not None and _has_share(choice, now) and choice.alpha in now.alphas


def _against_input(choice: Choice, metric: str, value: float, entry: Metric) -> str:
    """What changed against the input, as far as it is known; of a distance to it, only that.

    Better or worse is said where the error of the change is known. KID and the Gelbrich distance
    have none, so theirs may be chance: it stands without a word.
    """
    if entry.is_change:
        return " from the input"
    came, unit = choice.input.get(metric), f" {entry.units}".rstrip()
    if (change := choice.changes.get(metric)) is not None:
        word, numbers = change.verdict(entry) or "may be chance", change.in_words(entry.digits or 0)
        return f" ({numbers}{unit} against the input: {word})"
    if came is None or not (math.isfinite(came) and math.isfinite(value)):
        return ""
    same = ": the same" if value == came else ""
    return f" ({value - came:+.4g}{unit} against the input{same})"
