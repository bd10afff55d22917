"""Lanes on a Ray cluster, whose processes run the tasks, each with its share of a machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, ClassVar

import ray
from prefect import Task
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from flows.runners.lanes import Runner
from flows.runners.ray_cluster import Ask, Machine, fair_cpus, joined, machines, recent_machines
from flows.runners.ray_future import RayFuture
from flows.runners.ray_worker import environment, run_task
from tasks.config.compute import Ray
from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.ledger import VERSIONS

_RETRIES = 3
"""How often Ray repeats a task whose process or machine is lost.

A task that raises is for Prefect to repeat."""

_GRACE_S = 5.0
"""Seconds in which tasks that are stopped can give up their claims before they are killed."""

_START_S = 300.0
"""Seconds until a first process answers; it may wait for a slow disk, or for other runs."""

_REPLACED = "_run_prefect_task"
"""See ``_run_tasks_our_way``."""


@dataclass(frozen=True)
class RayLanes:
    """Lanes that are processes of a cluster.

    By default as many tasks are submitted as the cluster has room for, and one more for each
    machine, which waits there.
    """

    runner: Ray
    most: int | None
    """Tasks at once; None for as many as the cluster has room for."""
    cpus: float | None
    """Processors of each task; None for a share that goes by its share of the GPUs."""
    gpus: float = 0.0
    memory: float = 0.0
    """Bytes."""
    reports_progress: ClassVar[bool] = False

    @property
    def at_once(self) -> int:
        """How many tasks to submit before one has ended; changes as the cluster grows or shrinks.

        Raises:
            DotpipeError: the connection to the cluster is lost.
        """
        if self.most is not None:
            return self.most
        with _lost_connection_explained():
            among = recent_machines()
        ask = self._ask(among)
        return sum(machine.fits(ask) for machine in among) + len(among)

    @contextmanager
    def opened(self) -> Iterator[Runner]:
        """Yield a runner; when the block has ended, no task is under way.

        Raises:
            ConfigurationError: the cluster cannot be joined, has no room for a task, or has
                another version of this software.
        """
        with joined(self.runner.address):
            among = machines()
            ask = self._ask(among)
            if self.most is None:
                _require_room(ask, among)
            with RayTaskRunner() as joining:
                runner = _Runner(joining, ask)
                runner.require_same_software()
                try:
                    yield runner
                except BaseException:
                    runner.stop()
                    raise

    def _ask(self, among: list[Machine]) -> Ask:
        cpus = fair_cpus(self.gpus, among) if self.cpus is None else self.cpus
        return Ask(cpus, self.gpus, self.memory)


class _Runner:
    """Submits tasks that all ask for the same resources, and stops those under way."""

    def __init__(self, runner: RayTaskRunner, ask: Ask) -> None:
        _run_tasks_our_way(runner)
        self._runner = runner
        self._where: dict[str, Any] = {
            # Without this a process that had a GPU would end with its first task, and its
            # networks with it.
            "max_calls": 0,
            "runtime_env": {"env_vars": environment(ask.cpus)},
        }
        self._asked: dict[str, Any] = {
            "max_retries": _RETRIES,
            "memory": ask.memory or None,
            "num_cpus": ask.cpus,
            "num_gpus": ask.gpus,
        }
        self._under_way = set[RayFuture]()

    def submit(self, work: Task[Any, Any], parameters: dict[str, Any]) -> RayFuture:
        """Submit a task, which starts as soon as a machine has room, and return its future.

        Raises:
            DotpipeError: the connection to the cluster is lost.
        """
        with _lost_connection_explained(), remote_options(**self._where, **self._asked):
            submitted = self._runner.submit(work, parameters)
        future = RayFuture(submitted.task_run_id, submitted.wrapped_future)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def stop(self) -> None:
        """Raise an exception in each task under way; kill the processes of those that go on."""
        left = [future.wrapped_future for future in list(self._under_way)]
        with suppress(ConnectionError):  # there is nothing to stop, or nobody to tell
            for reference in left:
                ray.cancel(reference)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=_GRACE_S)
            for reference in left:
                ray.cancel(reference, force=True)

    def require_same_software(self) -> None:
        """Check that the cluster has this version of the software.

        A cluster without room to answer in time is not checked.

        Raises:
            ConfigurationError: it has another version, or none.
        """

        def versions(_needed: object) -> dict[str, int]:
            from tasks.io.ledger import VERSIONS

            return dict(VERSIONS)

        try:
            asked = ray.remote(**self._where, **self._asked)(versions).remote(run_task)
            found: Any = ray.get(asked, timeout=_START_S)
        except ray.exceptions.GetTimeoutError:
            ray.cancel(asked)
            return
        except (ray.exceptions.RayError, ImportError, AttributeError) as error:
            found = error
        if found != VERSIONS:
            raise ConfigurationError(
                "the machines of the Ray cluster, its head too, must have this version of "
                f"dot-pipeline, got {_difference(found)}; install it there with "
                "pip install 'dot-pipeline[ray]'"
            )


def _difference(found: Any) -> str:
    """Return in words in which versions of numbers a cluster differs, or why it has none."""
    if not isinstance(found, Mapping):
        return str(found)
    kinds = sorted(kind for kind in {*VERSIONS, *found} if VERSIONS.get(kind) != found.get(kind))
    return f"one with other numbers of kind {', '.join(kinds)}"


def _run_tasks_our_way(runner: RayTaskRunner) -> None:
    """Have the processes of the cluster run a runner's tasks by ``run_task``.

    Raises:
        ConfigurationError: the installed prefect-ray has no such method to replace.
    """
    # RayTaskRunner.submit sends its private method _run_prefect_task to a process of the
    # cluster, where it runs one task. prefect-ray 0.6, the version that pyproject.toml
    # requires, has no public way to do something before and after the task in that process.
    # run_task calls the method and does this around it; without it
    # - tasks would not know which processors and devices Ray gave them, and each would take
    #   the first GPU and all cores of its machine;
    # - Ray may end a process after any task, with its unsent logs and events: task runs
    #   would stay RUNNING on the dashboard;
    # - a workspace folder that this machine does not have would be made there, empty;
    # - errors would arrive without the file and line that raised them.
    if not hasattr(RayTaskRunner, _REPLACED):
        raise ConfigurationError(
            "compute.runner: ray needs a prefect-ray whose RayTaskRunner has the method "
            f"{_REPLACED}, got version {version('prefect-ray')} without it; run "
            "pip install 'dot-pipeline[ray]'"
        )
    setattr(runner, _REPLACED, run_task)


@contextmanager
def _lost_connection_explained() -> Iterator[None]:
    """Translate the error of a lost connection, which Ray has tried to restore by then.

    Raises:
        DotpipeError: the connection to the cluster is lost.
    """
    try:
        yield
    except ConnectionError as error:
        raise DotpipeError(
            "the connection to the Ray cluster must last as long as the run, but was lost "
            f"({error}); what is done is kept, run again to go on"
        ) from error


def _require_room(ask: Ask, among: list[Machine]) -> None:
    """Check that some machine is large enough for a task; Ray would wait for one in silence.

    Raises:
        ConfigurationError: none is.
    """
    if any(machine.fits(ask) for machine in among):
        return
    largest = max(among, key=lambda machine: (machine.gpus, machine.cpus), default=None)
    raise ConfigurationError(
        f"the Ray cluster must have a machine with {ask.gpus:g} GPUs and {ask.cpus:g} processors "
        f"for a task, got {largest}; lower compute.runner.gpus (0 is for processors only) or "
        "compute.runner.cpus, or set compute.shards_at_once for a cluster that grows when it is "
        "asked to"
    )
