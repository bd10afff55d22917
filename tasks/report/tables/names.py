"""What the columns of the tables are called, and how their numbers are to be read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.evaluate.features.distances import compared_in_words
from tasks.io.artifacts.metric import NAMES
from tasks.io.artifacts.metric_registry import Metric, metrics_to_choose_by, shown_metrics
from tasks.io.artifacts.metrics import change_of
from tasks.io.artifacts.more_metrics import NO_FACTS, Facts, distance_of, more_networks

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
reference there are none of either, and it is how many were enhanced, or left out if not known."""

MOVED = (
    "IndRMSE is how far pixels are from those of the input, root mean squared, in levels of 255: a "
    "distance, neither good nor bad in itself."
)
"""What is said of the distance to the input where it is shown."""

_NATURAL = (
    "NIQE is how far the statistics of a single image are from those of pristine photographs, "
    "whatever it shows."
)

_ARROWS = {"more": "↑", "less": "↓", None: ""}

_MARK = "*"
"""Stands behind the name of a metric whose network has other weights than the published ones."""


def columns_of(rows: Sequence[Row], facts: Facts = NO_FACTS) -> list[Metric]:
    """The metrics that have values in these rows, in the order of the columns."""
    return [metric for metric in _columns(facts) if has_values(rows, metric.column)]


def main_columns(rows: Sequence[Row], facts: Facts = NO_FACTS) -> list[str]:
    """The columns that every table has room for: the count, and what alpha can be chosen by.

    The distance to the input is only among them where no PSNR says what an alpha costs.
    """
    known = metrics_to_choose_by(facts).values()
    hidden = [m.column for m in known if m.is_change and has_values(rows, "psnr")]
    return [_IMAGES.column, *(m.column for m in known if m.column not in hidden)]


def short_names(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts with short names of metrics; those of altered weights end with a mark."""
    names = {name: value for name, value in facts.items() if name.endswith("_name")}
    return {**facts, **{name: _short(value) for name, value in names.items()}}


def footnote(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """A sentence on the marked names in the titles of these rows; empty if there is none."""
    short, columns = short_names(facts), columns_of(rows, facts)
    titles = " ".join(metric.title for metric in columns)
    marked = [
        value
        for name, value in facts.items()
        if short[name] != value and (f"{{{name}}}" in titles or name in _limits(titles))
    ]
    if not marked:
        return ""
    names = ", ".join(marked)
    return f"{_MARK} computed with weights other than the published ones: {names}."


def _limits(titles: str) -> set[str]:
    """The names behind those with the sign of the limit."""
    return {"frechet_name"} if "{frechet_limit}" in titles else set()


def _short(name: str) -> str:
    """A name without the digest of altered weights, in brackets, but with a mark for it."""
    plain, bracket, _ = name.partition(" (")
    return f"{plain}{_MARK}" if bracket else plain


def heading(metric: Metric, facts: Mapping[str, str]) -> str:
    """The title of a metric's column, with an arrow to the better values, and its unit."""
    unit = f" ({metric.units})" if metric.units else ""
    return f"{_title(metric, short_names(facts))} {_ARROWS[metric.better]}".rstrip() + unit


def has_values(rows: Iterable[Row], name: str) -> bool:
    """Whether a column has any value in these rows."""
    return any(row.get(name) is not None for row in rows)


def results_legend(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Sentences on how the numbers of the results table are to be read."""
    present = {name for row in rows for name, value in row.items() if value is not None}
    sentences = [
        "Means over the images that have the metric; ± is the standard error of one row. All rows "
        "share the same images, so differences between rows are known better than ± suggests."
    ]
    distances = {"frechet", *(distance_of(network).column for network in more_networks(facts))}
    if present & distances and "compared_with" in facts:
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
    if "indrmse" in present:
        sentences.append(MOVED)
    if "niqe" in present:
        sentences.append(_NATURAL)
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
        for metric in _columns(facts)
    }


def _columns(facts: Facts) -> tuple[Metric, ...]:
    return (_IMAGES, *shown_metrics(facts))


def _title(metric: Metric, facts: Mapping[str, str]) -> str:
    """A metric's title, the sign of the limit behind the name and before what is in brackets."""
    name, bracket, rest = facts["frechet_name"].partition(" (")
    names = {"second_compared_with": "a second data set", **NAMES, **facts}
    plain = name.removesuffix(_MARK)
    limit = f"{plain}∞{name.removeprefix(plain)}{bracket}{rest}"
    return metric.title.format_map({**names, "frechet_limit": limit})
