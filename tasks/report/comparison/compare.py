"""Compare two runs: their results in one table, and differences over the images that both have."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.config import Config
from tasks.evaluate.changes import Difference
from tasks.evaluate.overlap import overlap_of
from tasks.io.artifacts.metric_registry import Metric, ranked_metrics
from tasks.io.workspace import Signal
from tasks.report.comparison.runs import Side
from tasks.report.pages import Cell, Fact, Table, counted, render_comparison
from tasks.report.tables.names import heading
from tasks.report.tables.results import main_results


def compare(first: Side, second: Side) -> dict[str, Any]:
    """What is said of two runs: sentences, both tables, and the options that differ.

    Differences are of the second less the first, image by image, over the images with metrics
    that both have by their keys; the keys of both are held in memory for this.
    """
    differences = {
        signal: paired_differences(first, second, signal) for signal in _shared(first, second)
    }
    return {
        "first": first.name,
        "second": second.name,
        "sentences": list(_sentences(differences, first, second)),
        "paired": _paired_table(differences, _metrics(first, second), first.facts),
        "both": _both_table(first, second),
        "options": options_that_differ(first.run.config, second.run.config),
    }


def comparison_page(found: Mapping[str, Any]) -> str:
    """The comparison as one HTML file."""
    return render_comparison(found)


def paired_differences(first: Side, second: Side, signal: Signal) -> dict[Metric, Difference]:
    """The mean difference of each metric over the images that both have, with its error."""
    ours, theirs = first.scores(signal), second.scores(signal)
    places = pc.index_in(ours["key"], value_set=theirs["key"].combine_chunks())
    found = {}
    for metric in _metrics(first, second):
        change = pc.subtract(theirs[metric.column].take(places), ours[metric.column])
        values = _finite(change)
        if len(values):
            error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
            found[metric] = Difference(float(values.mean()), error, len(values))
    return found


def _finite(change: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = pc.drop_null(change).to_numpy()
    return np.asarray(values[np.isfinite(values)], dtype=np.float64)


def _shared(first: Side, second: Side) -> list[Signal]:
    others = set(second.signals)
    return [signal for signal in first.signals if signal in others]


def _sentences(
    differences: Mapping[Signal, Mapping[Metric, Difference]], first: Side, second: Side
) -> Iterator[str]:
    images = max((d.images for found in differences.values() for d in found.values()), default=0)
    if images:
        yield (
            f"Differences are over {counted(images, 'image')} that both have, each against itself: "
            f"{second.name} less {first.name}, ± the standard error."
        )
        if any(_leaves_out(side) for side in (first, second)):
            yield "They include images of the fit, which the means of a run leave out."
    elif differences:
        yield "The two share no image with metrics, so only their means can be compared."
    else:
        yield "The two share no alpha, so their images cannot be compared one by one."
    if first.facts.get("lpips_sha256") != second.facts.get("lpips_sha256"):
        yield "LPIPS is of different weights in the two, and is not to be compared."
    if first.facts.get("features_sha256") != second.facts.get("features_sha256"):
        yield "Features are of different networks in the two, and are not to be compared."


def _leaves_out(side: Side) -> bool:
    """Whether the means of a run are without images that its operator was fitted on."""
    overlap = overlap_of(side.facts)
    return overlap is not None and overlap.scored.left_out > 0


def _metrics(first: Side, second: Side) -> list[Metric]:
    """The metrics of single images that both runs can have, from one version of pyiqa too."""
    theirs = ranked_metrics(second.facts)
    return [metric for metric in ranked_metrics(first.facts) if metric in theirs]


def _paired_table(
    differences: Mapping[Signal, Mapping[Metric, Difference]],
    both: Sequence[Metric],
    facts: Mapping[str, str],
) -> Table:
    metrics = [m for m in both if any(m in found for found in differences.values())]
    lines = [
        [Cell(signal.label), *(_cell(found.get(metric), metric) for metric in metrics)]
        for signal, found in differences.items()
        if found
    ]
    return Table(["", *(heading(metric, facts) for metric in metrics)], lines)


def _cell(difference: Difference | None, metric: Metric) -> Cell:
    if difference is None:
        return Cell("–")
    text, error = difference.parts(difference.digits(metric.digits or 0))
    return Cell(text, error, verdict=difference.verdict(metric))


def _both_table(first: Side, second: Side) -> Table:
    """The main columns of both, the rows of one signal next to each other."""
    tables = [main_results(side.rows, side.facts) for side in (first, second)]
    titles = list(dict.fromkeys(title for table in tables for title in table.titles))
    labels = dict.fromkeys(line[0].text for table in tables for line in table.lines)
    lines = []
    for label in labels:
        for side, table in zip((first, second), tables, strict=True):
            for line in table.lines:
                if line[0].text == label:
                    cells = dict(zip(table.titles[1:], line[1:], strict=True))
                    name = Cell(f"{label}, {side.name}")
                    lines.append([name, *(_plain(cells.get(title)) for title in titles[1:])])
    return Table(titles, lines)


def _plain(cell: Cell | None) -> Cell:
    """A cell without the mark for the best of its own table."""
    return Cell("–") if cell is None else cell._replace(best=False)


def options_that_differ(first: Config, second: Config) -> list[Fact]:
    """The options that differ, each with both values."""
    ours, theirs = (dict(_flat(each.model_dump(mode="json"))) for each in (first, second))
    return [
        Fact(name, f"{ours.get(name, '–')} → {theirs.get(name, '–')}")
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)
