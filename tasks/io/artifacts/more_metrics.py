"""Metrics that a run has beside those of the registry, because its configuration names them.

The metadata of a table, called facts, say which these are. So whoever reads a table knows of them,
whatever the configuration says by then, and whatever is installed.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tasks.io.artifacts.metric import FEATURED, Error, Metric

Facts = Mapping[str, str]
"""The metadata of the fidelity table, or of a metric table."""

NO_FACTS: Facts = MappingProxyType({})

MORE_NETWORKS = "more_networks"
"""The fact that names the networks of features other than the first, with commas between them."""


def more_networks(facts: Facts) -> list[str]:
    """The networks of features other than the first."""
    return [name for name in facts.get(MORE_NETWORKS, "").split(", ") if name]


def distance_of(network: str) -> Metric:
    """The Fréchet distance of the features of a network that is not the first."""
    plain = network.replace("-", "_")
    column = f"frechet_{plain}"
    return Metric(
        column=column,
        basis="features",
        better="less",
        meaning=f"Fréchet distance of features of {network}",
        error=Error(column=f"{column}_error", meaning="its standard error, from single images"),
        change="less that of the input, which the same images have in common",
        featured=f"{FEATURED}_{plain}",
        title=f"{{{column}_name}}",
        option=f"fd-{network}",
    )


PYIQA = "pyiqa"
"""The fact that describes the metrics of the package pyiqa, in JSON."""

_PYIQA_COLUMN = f"{PYIQA}_"
"""How their columns begin."""


class OfPyiqa(NamedTuple):
    """A metric of single images by the package pyiqa, and what it says of it."""

    name: str
    """As pyiqa calls it."""
    more_is_better: bool
    needs_reference: bool
    version: str
    """Of pyiqa."""

    @property
    def column(self) -> str:
        """Its column in the tables, which is its name among judges too."""
        return pyiqa_column(self.name)


def pyiqa_column(name: str) -> str:
    """The column of a metric by the name that pyiqa has for it."""
    return f"{_PYIQA_COLUMN}{name}"


def pyiqa_name(column: str) -> str | None:
    """The name that pyiqa has for the metric of a column; None where it is no metric of pyiqa."""
    name = column.removeprefix(_PYIQA_COLUMN)
    return None if name == column else name


def facts_on_pyiqa(metrics: Iterable[OfPyiqa]) -> dict[str, str]:
    """The fact on metrics of pyiqa, for the metadata of a table; nothing where there are none."""
    described = [metric._asdict() for metric in metrics]
    return {PYIQA: json.dumps(described)} if described else {}


def metrics_of_pyiqa(facts: Facts) -> list[OfPyiqa]:
    """The metrics of pyiqa that a table has."""
    return [OfPyiqa(**each) for each in json.loads(facts.get(PYIQA, "[]"))]


def _entry(metric: OfPyiqa) -> Metric:
    against = " against the reference" if metric.needs_reference else ""
    return Metric(
        column=metric.column,
        basis="image",
        better="more" if metric.more_is_better else "less",
        meaning=f"{metric.name}{against}, by pyiqa {metric.version}",
        error=Error(column=f"{metric.column}_error"),
        reference=metric.needs_reference,
        title=f"pyiqa {metric.name}",
        digits=3,
        option=metric.column,
    )


def more_metrics(facts: Facts) -> list[Metric]:
    """The metrics that a table has beside those of the registry."""
    images = [_entry(metric) for metric in metrics_of_pyiqa(facts)]
    return images + [distance_of(network) for network in more_networks(facts)]
