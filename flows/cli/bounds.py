"""The options of `dotpipe choose` that bound a metric, made from the registry of metrics."""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.io.artifacts.metric_registry import Metric, metrics_to_choose_by

if TYPE_CHECKING:
    from tasks.evaluate.bounds import Bound
    from tasks.io.artifacts.more_metrics import Facts

AtLeast = Annotated[
    list[str] | None,
    typer.Option("--min", metavar="NAME=VALUE", help="At least so much of any metric of --best."),
]
AtMost = Annotated[
    list[str] | None,
    typer.Option("--max", metavar="NAME=VALUE", help="At most so much of any metric of --best."),
]


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


def require_wish(
    best: str | None,
    limits: Mapping[str, float | None],
    at_least: Iterable[str] | None,
    at_most: Iterable[str] | None,
) -> None:
    """Check that a command that chooses is asked for something.

    Raises:
        ConfigurationError: no option is given.
    """
    from tasks.io.errors import ConfigurationError

    if best or at_least or at_most or any(limit is not None for limit in limits.values()):
        return
    options = ", ".join(f"--{name.replace('_', '-')}" for name in limits)
    raise ConfigurationError(
        f"choose must know what you want, got no option; give {options}, --min or --max with "
        "another metric and a number, as --max fd-dinov2-vit-l-14=100, or --best with a metric"
    )


def bounds_of(
    limits: Mapping[str, float | None],
    at_least: Iterable[str],
    at_most: Iterable[str],
    facts: "Facts",
) -> "list[Bound]":
    """The bounds that options ask for.

    Args:
        limits: by the names of ``bounded_metrics``; None where one is not given.
        at_least: texts of `--min`, such as ``pyiqa_musiq=60``.
        at_most: texts of `--max`.
        facts: the fidelity table's metadata, which say what metrics it has beside the others.

    Raises:
        ConfigurationError: a text asks for no bound.
    """
    from tasks.evaluate.bounds import Bound, bound_of

    known = bounded_metrics()
    given = [(known[name].option, limit) for name, limit in limits.items() if limit is not None]
    return [
        *(Bound(option, limit) for option, limit in given),
        *(bound_of("min", text, facts) for text in at_least),
        *(bound_of("max", text, facts) for text in at_most),
    ]


def either(names: Iterable[str]) -> str:
    """Two or more names as a list in words, such as "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


def best_in_words() -> str:
    """The help of the option that names what to be best in."""
    listed = ", ".join(metrics_to_choose_by())
    return f"Be best in {listed}, fd-NETWORK of evaluate.features, pyiqa_NAME, or plug_in_NAME."
