"""Choose an alpha from the tables that are there: bounds to keep, and what to be best in."""

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from tasks.evaluate.bounds import Bound
from tasks.evaluate.changes import Difference, changes_at
from tasks.io.artifacts.metric_registry import Metric, metrics_to_choose_by, perceptual_distances
from tasks.io.artifacts.more_metrics import NO_FACTS, Facts
from tasks.io.errors import CorpusError

Points = Mapping[float, Mapping[str, float]]
"""The numbers of each alpha by metric; those that are not known are left out."""


class Choice(NamedTuple):
    """An alpha, its numbers and those of the input by metric, and what it is the best in.

    ``changes`` are the differences to the input of the metrics that have such. ``best`` is None
    where it is the nearest to the full transport among all that keep the bounds, because no
    perceptual metric is known for each of them.
    """

    alpha: float
    numbers: Mapping[str, float]
    input: Mapping[str, float]
    changes: Mapping[str, Difference]
    best: str | None
    is_written: bool
    low_share: float | None = None
    """Of a pair of dials; None for that of the configuration."""
    pair: "Choice | None" = None
    """The best pair of alpha and share of the map, if it is better or alone has perception."""


def choose_alpha(
    rows: Sequence[Mapping[str, Any]],
    bounds: Sequence[Bound],
    best: str | None = None,
    *,
    beyond: bool = False,
    facts: Facts = NO_FACTS,
) -> Choice:
    """The alpha that is best in one metric among those that keep all bounds.

    Where an alpha is written, its measured numbers count, else those of the curve. Of alphas
    that are equally good the smallest is taken.

    Args:
        rows: of the fidelity table.
        bounds: limits to keep.
        best: what to be best in. By default PSNR, or the distance to the input, where perception
            is bounded; else the first of FID, LPIPS, Gelbrich and NIQE that all have that keep
            the bounds, or nearness to the full transport, where perception is best in theory.
        beyond: also alphas outside [0, 1], the range of the theory.
        facts: the table's metadata, which say what metrics it has beside the others.

    Raises:
        CorpusError: a metric is not in the table, or no alpha keeps the bounds.
    """
    metrics = metrics_to_choose_by(facts)
    points = _points(rows, metrics, beyond=beyond)
    for metric in (*(bound.metric for bound in bounds), *([best] if best else [])):
        _require_known(metric, points)
    kept = _within(bounds, points)
    best = best or _objective(kept, bounds)
    known = kept if best is None else _with_known(best, kept, bounds)
    alpha = min(
        known, key=lambda a: abs(a) if best is None else _cost(metrics[best], known[a][best])
    )
    choice = _choice(rows, alpha, known[alpha], best, metrics)
    pair = _better_pair(rows, bounds, choice, beyond=beyond, facts=facts)
    return choice._replace(pair=pair)


def _choice(
    rows: Sequence[Mapping[str, Any]],
    alpha: float,
    numbers: Mapping[str, float],
    best: str | None,
    metrics: Mapping[str, Metric],
) -> Choice:
    written = {row["alpha"] for row in rows if row["signal"] == "enhanced"}
    came = next((_numbers(row, metrics) for row in rows if row["signal"] == "input"), {})
    changes = changes_at(alpha, rows, metrics)
    return Choice(alpha, numbers, came, changes, best, alpha in written)


def _better_pair(
    rows: Sequence[Mapping[str, Any]],
    bounds: Sequence[Bound],
    choice: Choice,
    *,
    beyond: bool,
    facts: Facts,
) -> Choice | None:
    """The best pair of dials of the map that keeps all bounds, if it is better than alpha alone.

    It is where nothing perceptual is known of alpha alone. None without a map too. They are
    compared by what the pair is best in.
    """
    metrics = metrics_to_choose_by(facts)
    came = [row for row in rows if row["signal"] == "input"]
    found = list[tuple[float, Choice]]()
    for share in sorted({row["low_share"] for row in rows if row["signal"] == "map"}):
        ours = [row for row in rows if row["signal"] == "map" and row["low_share"] == share]
        curve = [{**row, "signal": "curve"} for row in ours]
        try:
            one = choose_alpha([*came, *curve], bounds, choice.best, beyond=beyond, facts=facts)
        except CorpusError:  # another share may keep them
            continue
        if (best := one.best) is not None:
            cost = _cost(metrics[best], one.numbers[best])
            found.append((cost, one._replace(low_share=share)))
    cost, least = min(found, key=itemgetter(0), default=(math.inf, None))
    if least is None or least.best is None:
        return None
    alone = choice.numbers.get(least.best)
    return least if alone is None or cost < _cost(metrics[least.best], alone) else None


def _with_known(best: str, kept: Points, bounds: Sequence[Bound]) -> Points:
    """The alphas whose value of a metric is known.

    Raises:
        CorpusError: there is none.
    """
    known = {alpha: numbers for alpha, numbers in kept.items() if best in numbers}
    if not known:
        raise CorpusError(
            f"no alpha with a known {best} has {' and '.join(map(str, bounds))}, but alpha "
            f"{min(kept):g} of the curve has; set evaluate.curve.networks, or add it to "
            "enhance.alphas"
        )
    return known


def _within(bounds: Sequence[Bound], points: Points) -> Points:
    """The alphas that keep all bounds.

    Raises:
        CorpusError: there is none.
    """
    kept = {
        alpha: numbers
        for alpha, numbers in points.items()
        if all(bound.keeps(numbers.get(bound.metric)) for bound in bounds)
    }
    if not kept:
        raise CorpusError(_out_of_reach(points, bounds))
    return kept


def _points(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metric], *, beyond: bool
) -> Points:
    """The numbers of every alpha: those of its written images before those of the curve."""
    points: dict[float, dict[str, float]] = {}
    for signal in ("curve", "input", "enhanced"):
        for row in rows:
            alpha = 1.0 if signal == "input" else row["alpha"]
            if row["signal"] != signal or (signal == "input" and alpha not in points):
                continue
            if beyond or 0 <= alpha <= 1:
                points[alpha] = points.get(alpha, {}) | _numbers(row, metrics)
    return dict(sorted(points.items()))


def _numbers(row: Mapping[str, Any], metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {n: row[m.column] for n, m in metrics.items() if row.get(m.column) is not None}


def _objective(kept: Points, bounds: Sequence[Bound]) -> str | None:
    """What to be best in where only bounds are given; None for the nearest to the transport."""
    if any(bound.is_perception for bound in bounds):
        return "psnr" if any("psnr" in numbers for numbers in kept.values()) else "change"
    names = [metric.option for metric in perceptual_distances() if metric.option]
    return next((n for n in names if all(n in numbers for numbers in kept.values())), None)


def _require_known(metric: str, points: Points) -> None:
    if not any(metric in numbers for numbers in points.values()):
        raise CorpusError(
            f"{metric} must be in the fidelity table, but no alpha has it; the report says why. "
            "Metrics need corpora.reference, or evaluate.lpips, evaluate.niqe or evaluate.features"
        )


def _cost(metric: Metric, value: float) -> float:  # less is better
    return -value if metric.better == "more" else value


def _out_of_reach(points: Points, bounds: Sequence[Bound]) -> str:
    """A sentence that no alpha keeps the bounds, with the best value of each bounded metric."""
    reach = []
    for bound in bounds:
        known = {a: n[bound.metric] for a, n in points.items() if bound.metric in n}
        _, alpha = min((_cost(bound.entry, value), alpha) for alpha, value in known.items())
        reach.append(f"{bound.metric} gets to {known[alpha]:.7g} at alpha {alpha:g}")
    wanted = " and ".join(map(str, bounds))
    return f"no alpha of the curve has {wanted}: {', '.join(reach)}; loosen a bound"
