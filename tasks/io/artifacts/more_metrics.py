"""Metrics that a run has beside those of the registry, because its configuration names them.

The metadata of a table, called facts, say which these are. So whoever reads a table knows of them,
whatever the configuration says by then, and whatever is installed.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

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


PLUG_INS = "plug_ins"
"""The fact that describes the metrics of plug-ins, in JSON."""

_PLUG_IN_COLUMN = "plug_in_"
"""How their columns begin."""


class OfPlugIn(NamedTuple):
    """A metric of single images that an installed package brings, and what it says of it."""

    name: str
    """Of its entry point."""
    package: str
    version: str
    """Of the package."""
    title: str
    better: Literal["more", "less"]
    unit: str
    """1 where it has none."""
    digits: int
    needs_reference: bool

    @property
    def column(self) -> str:
        """Its column in the tables, which is its name among judges too."""
        return plug_in_column(self.name)


def plug_in_column(name: str) -> str:
    """The column of a metric by the name of its entry point."""
    return f"{_PLUG_IN_COLUMN}{name}"


def plug_in_name(column: str) -> str | None:
    """The name of the entry point whose metric a column has; None where it is no plug-in."""
    name = column.removeprefix(_PLUG_IN_COLUMN)
    return None if name == column else name


def facts_on_plug_ins(metrics: Iterable[OfPlugIn]) -> dict[str, str]:
    """The fact on metrics of plug-ins, for the metadata of a table; nothing without any."""
    described = [metric._asdict() for metric in metrics]
    return {PLUG_INS: json.dumps(described)} if described else {}


def metrics_of_plug_ins(facts: Facts) -> list[OfPlugIn]:
    """The metrics of plug-ins that a table has."""
    return [OfPlugIn(**each) for each in json.loads(facts.get(PLUG_INS, "[]"))]


def facts_on_packages(facts: Facts) -> dict[str, str]:
    """What facts say of metrics that other packages compute, without all else."""
    return {name: facts[name] for name in (PYIQA, PLUG_INS) if name in facts}


def _entry_of_plug_in(metric: OfPlugIn) -> Metric:
    against = " against the reference" if metric.needs_reference else ""
    return Metric(
        column=metric.column,
        basis="image",
        better=metric.better,
        meaning=f"{metric.title}{against}, by {metric.package} {metric.version}",
        unit=metric.unit,
        error=Error(column=f"{metric.column}_error"),
        reference=metric.needs_reference,
        title=metric.title,
        digits=metric.digits,
        option=metric.column,
    )


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
    images += [_entry_of_plug_in(metric) for metric in metrics_of_plug_ins(facts)]
    return images + [distance_of(network) for network in more_networks(facts)]
