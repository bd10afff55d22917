"""The lanes of a kind of task: where the configuration has it run, and how many at once."""

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from flows.runners.lanes import Lanes, Threads
from tasks.config import Config
from tasks.config.compute import Compute, Ray
from tasks.io.errors import ConfigurationError
from tasks.io.machine.devices import count_devices
from tasks.io.machine.resources import cores

F = TypeVar("F", bound=Callable[..., Any])


_STATISTICS_BYTES = 2.0 * 2**30
"""Memory that a task asks a Ray cluster for when it holds statistics."""


def copying(compute: Compute) -> Lanes:
    """Lanes for tasks that read, decode and write files."""
    if isinstance(compute.runner, Ray):
        return _on_ray(compute.runner, compute.shards_at_once, cpus=1.0)
    return Threads(compute.shards_at_once or cores())


def computing(compute: Compute) -> Lanes:
    """Lanes for tasks that spend most of their time in a neural network."""
    ray = compute.runner
    if isinstance(ray, Ray):
        gpus = 0.0 if compute.device == "cpu" else ray.gpus
        return _on_ray(ray, compute.shards_at_once, cpus=ray.cpus, gpus=gpus)
    return Threads(compute.shards_at_once or count_devices(compute.device))


def training(compute: Compute) -> Lanes:
    """Lanes for tasks that each go on where the one before has ended: one at a time."""
    if isinstance(compute.runner, Ray):
        return computing(compute.model_copy(update={"shards_at_once": 1}))
    return Threads(1)


def gathering(compute: Compute) -> Lanes:
    """Lanes for tasks that hold up to a gigabyte of statistics; one at a time in threads."""
    if isinstance(compute.runner, Ray):
        return _on_ray(compute.runner, compute.shards_at_once, cpus=1.0, memory=_STATISTICS_BYTES)
    return Threads(1)


def connected(flow: F) -> F:
    """Decorate a flow so that all its steps share one connection to the Ray cluster.

    The cluster's processes, and the networks that they have loaded, then last from step to
    step. The flow's first parameter must be its configuration. No effect without Ray.

    Raises:
        ConfigurationError: prefect-ray is not installed, or the cluster cannot be joined.
    """

    @wraps(flow)
    def joined_once(config: Config, *args: Any, **options: Any) -> Any:
        runner = config.compute.runner
        if not isinstance(runner, Ray):
            return flow(config, *args, **options)
        _require_ray()
        from flows.runners.ray_cluster import joined

        with joined(runner.address):
            return flow(config, *args, **options)

    return cast(F, joined_once)


def _on_ray(
    runner: Ray, most: int | None, *, cpus: float | None, gpus: float = 0.0, memory: float = 0.0
) -> Lanes:
    _require_ray()
    from flows.runners.ray_lanes import RayLanes

    return RayLanes(runner, most, cpus, gpus, memory)


def _require_ray() -> None:
    """Check that the extra ``ray`` is installed.

    Raises:
        ConfigurationError: Ray or prefect-ray is missing.
    """
    if find_spec("prefect_ray") is None or find_spec("ray") is None:
        raise ConfigurationError(
            "compute.runner: ray needs prefect-ray, which is not installed; run "
            "pip install 'dot-pipeline[ray]', or set compute.runner: threads"
        )
