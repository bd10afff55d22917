"""Metrics that a run has beside those of the registry, because its configuration names them.

The metadata of the fidelity table, called facts, say which these are. So whoever reads a table
knows of them, whatever the configuration says by then.
"""

from collections.abc import Mapping
from types import MappingProxyType

from tasks.io.artifacts.metric import FEATURED, Error, Metric

Facts = Mapping[str, str]
"""The metadata of the fidelity table."""

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


def more_metrics(facts: Facts) -> list[Metric]:
    """The metrics that a fidelity table has beside those of the registry."""
    return [distance_of(network) for network in more_networks(facts)]
