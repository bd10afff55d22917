"""Limits on metrics of the fidelity table, which a chosen alpha keeps."""

import math
from typing import Literal, NamedTuple

from tasks.io.artifacts.metric import Metric
from tasks.io.artifacts.metric_registry import metrics_to_choose_by
from tasks.io.artifacts.more_metrics import NO_FACTS, Facts
from tasks.io.errors import ConfigurationError

_ALSO = {"fd": "fid", "kd": "kid", "indrmse": "change"}


class Bound(NamedTuple):
    """A limit that the choice must keep: at least so much where more is better, else at most."""

    metric: str
    """One of ``metrics_to_choose_by``."""
    limit: float
    facts: Facts = NO_FACTS
    """Metadata of the table that has the metric, if it is none that every table has."""

    @property
    def entry(self) -> Metric:
        """What is known of the metric."""
        return metrics_to_choose_by(self.facts)[self.metric]

    @property
    def is_perception(self) -> bool:
        """Whether it asks how natural images are, and not how near they are to others."""
        entry = self.entry
        is_fidelity = entry.better == "more" and entry.basis == "image" and entry.reference
        return not (is_fidelity or entry.is_change)

    def keeps(self, value: float | None) -> bool:
        """Whether a value is within the limit; one that is not known is not."""
        if value is None:
            return False
        return value >= self.limit if self.entry.better == "more" else value <= self.limit

    def __str__(self) -> str:
        return f"{self.metric} {'≥' if self.entry.better == 'more' else '≤'} {self.limit:g}"


def metric_named(name: str, facts: Facts = NO_FACTS, *, what: str = "best") -> str:
    """The metric of this name, in letters of either case; FD and KD are FID and KID.

    Args:
        name: of the metric, as the options have it.
        facts: the fidelity table's metadata, which say what metrics it has beside the others.
        what: is named, for the error.

    Raises:
        ConfigurationError: alpha cannot be chosen by a metric of this name.
    """
    metrics = {option.lower(): option for option in metrics_to_choose_by(facts)}
    known = _ALSO.get(name.lower(), name.lower())
    if known not in metrics:
        listed = ", ".join(metrics.values())
        raise ConfigurationError(f"{what} must be one of {listed}, got {name!r}")
    return metrics[known]


def bound_of(side: Literal["min", "max"], text: str, facts: Facts) -> Bound:
    """The bound that a text asks for, such as ``fd-dinov2-vit-l-14=100``.

    Args:
        side: whether it is the least or the most that a metric may be.
        text: name and number of it.
        facts: the fidelity table's metadata, which say what metrics it has beside the others.

    Raises:
        ConfigurationError: it is not such a text, or the metric is bounded from the other side.
    """
    name, _, number = text.partition("=")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if math.isnan(limit):
        raise ConfigurationError(
            f"{side} must be a metric with a number, as lpips=0.15, got {text!r}"
        )
    bound = Bound(metric_named(name.strip(), facts, what=f"the metric of {side}"), limit, facts)
    proper = "min" if bound.entry.better == "more" else "max"
    if side != proper:
        raise ConfigurationError(
            f"{side} must not bound {bound.metric}, of which {'more' if side == 'max' else 'less'} "
            f"is asked for, got {text!r}; write --{proper} {text}"
        )
    return bound
