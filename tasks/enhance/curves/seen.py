"""How often the metrics see an image: at every alpha, at every control, at points of curves."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.config import Config
from tasks.enhance.signals import signals_to_score
from tasks.io.ledger import Ledger
from tasks.io.workspace import CURVE, Signal

_LAP = "metrics"


def is_seen(config: Config, signal: Signal) -> bool:
    """Return whether the networks of the metrics see a signal, or the points that it stands for.

    They see all but the curve, whose points they see where they are asked to.
    """
    curve = config.evaluate.curve
    return signal != CURVE or (curve is not None and curve.networks)


def versions_seen(config: Config) -> int:
    """Return how many versions of an image the networks of the metrics see in a whole pass."""
    points = len(config.curve_alphas)
    tables = (each for each in signals_to_score(config) if is_seen(config, each))
    return sum(points if each.has_points else 1 for each in tables)


def seconds_of_more_versions(
    config: Config, ledger: Ledger, passes: Iterable[Mapping[str, Any]]
) -> float:
    """Return how many seconds more the metrics of some passes would take as they are asked for now.

    A map of two dials or a curve that networks see has many versions of an image, which the passes
    need not have had.

    Args:
        config: says what is asked for.
        ledger: with the records of the passes.
        passes: what the records of enhanced shards say.
    """
    now, more = versions_seen(config), 0.0
    for facts in passes:
        spent, before = facts.get("laps", {}).get(_LAP, 0.0), _versions_in(ledger, facts)
        more += spent * (now / before - 1) if before else 0.0
    return more


def _versions_in(ledger: Ledger, facts: Mapping[str, Any]) -> int:
    """Return how many versions of an image the pass of an enhanced shard saw, by its tables."""
    _, dataset, operator, _, shard = facts["artifact"].split("/")
    survey = ledger.survey(f"metrics/{dataset}/{operator}")
    found = 0
    for name in survey.artifacts():
        if not name.endswith(f"/{shard}"):
            continue
        table = ledger.facts(survey.records(name)[-1])
        if table.get("laps") != facts.get("laps"):
            continue  # it was made at another time
        inputs = table["inputs"]
        seen = inputs["signal"][0] != CURVE.name or "features" in inputs or "lpips" in inputs
        found += len(inputs.get("alphas", "1")) if seen else 0
    return found
