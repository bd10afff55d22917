"""The options of `dotpipe choose` that bound a metric, made from the registry of metrics."""

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Annotated

import typer

from tasks.io.artifacts.metric_registry import Metric, metrics_to_choose_by


def bounded_metrics() -> dict[str, Metric]:
    """The metrics that can be bounded, by the name of the parameter, such as ``min_psnr``."""
    return {
        f"{'min' if metric.better == 'more' else 'max'}_{name}": metric
        for name, metric in metrics_to_choose_by().items()
        if metric.bound
    }


def needs_reference(option: str) -> bool:
    """Whether the metric of this option compares images with their ground truth."""
    metric = metrics_to_choose_by()[option]
    return metric.basis == "image" and metric.reference


def with_bounds(command: Callable[..., None]) -> Callable[..., None]:
    """The same command, with an option for each of ``bounded_metrics`` in its signature.

    Typer reads the options from there, shows them behind the first argument, and passes the
    limits, None where one is not given, to the command's keyword arguments.
    """
    given = signature(command)
    first, *others = (p for p in given.parameters.values() if p.kind is not Parameter.VAR_KEYWORD)
    bounds = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[float | None, typer.Option(help=metric.bound)],
        )
        for name, metric in bounded_metrics().items()
    ]
    whole = given.replace(parameters=[first, *bounds, *others])
    command.__signature__ = whole  # type: ignore[attr-defined]
    return command


def either(names: Iterable[str]) -> str:
    """Two or more names as a list in words, such as "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def best_in_words() -> str:
    """The help of the option that names what to be best in."""
    listed = ", ".join(metrics_to_choose_by())
    return f"Be best in {listed}, fd-NETWORK of evaluate.features, or pyiqa_NAME."
