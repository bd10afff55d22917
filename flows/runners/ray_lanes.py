"""Lanes on a Ray cluster: tasks in its processes, each with its share of a machine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx
import ray
from prefect import Task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture, PrefectWrappedFuture
from prefect.states import Crashed
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from dot_kernels import KERNEL_VERSION
from flows.runners.lanes import Runner
from flows.runners.ray_cluster import Ask, Machine, fair_cpus, joined, machines, recent_machines
from flows.runners.ray_worker import environment, run_task
from tasks.config.sections import Ray
from tasks.io.errors import ConfigurationError, DotpipeError

_ATTEMPTS = 3
"""Further ones of a task whose process or machine is lost; what it raises itself is for
Prefect to repeat."""

_GRACE_S = 5.0
"""For tasks that are stopped, to let go of what they claim."""

_START_S = 300.0
"""For a first process, which may import torch from a slow disk, or wait for other runs."""


@dataclass(frozen=True)
class RayLanes:
    """Processes of a cluster: as many tasks as it has room for, and a few that wait there."""

    runner: Ray
    most: int | None
    """Tasks at once, if not as many as there is room for."""
    cpus: float | None
    """For each task, or its share by its share of the GPUs."""
    gpus: float = 0.0
    memory: float = 0.0
    reports_progress: ClassVar[bool] = False

    @property
    def at_once(self) -> int:
        """Tasks to have under way; a cluster may grow and shrink."""
        if self.most is not None:
            return self.most
        with _loss_told():
            among = recent_machines()
        ask = self._ask(among)
        return sum(machine.fits(ask) for machine in among) + len(among)

    @contextmanager
    def opened(self) -> Iterator[Runner]:
        """The runner, ready for tasks; when the block ends, none is under way.

        Raises:
            ConfigurationError: the cluster cannot be joined, has no room, or lacks this
                software.
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
    """Submits tasks that ask for the same, and stops those that are under way."""

    def __init__(self, runner: RayTaskRunner, ask: Ask) -> None:
        runner._run_prefect_task = run_task
        self._runner = runner
        self._where: dict[str, Any] = {
            # Without this a process that had a GPU would end with its first task, and its
            # networks with it.
            "max_calls": 0,
            "runtime_env": {"env_vars": environment(ask.cpus)},
        }
        self._asked: dict[str, Any] = {
            "max_retries": _ATTEMPTS,
            "memory": ask.memory or None,
            "num_cpus": ask.cpus,
            "num_gpus": ask.gpus,
        }
        self._under_way = set[_Future]()

    def submit(self, work: Task[Any, Any], parameters: dict[str, Any]) -> "_Future":
        """The future of a task that starts as soon as a machine has room."""
        with _loss_told(), remote_options(**self._where, **self._asked):
            submitted = self._runner.submit(work, parameters)
        future = _Future(submitted.task_run_id, submitted.wrapped_future)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def stop(self) -> None:
        """End what is under way: with an exception in its process, or else with the process."""
        left = [future.wrapped_future for future in list(self._under_way)]
        with suppress(ConnectionError):  # there is nothing to stop, or nobody to tell
            for reference in left:
                ray.cancel(reference)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=_GRACE_S)
            for reference in left:
                ray.cancel(reference, force=True)

    def require_same_software(self) -> None:
        """Check that the cluster has what this process is made of, if it has room to say so."""

        def kernels(_needed: object) -> int:
            from dot_kernels import KERNEL_VERSION

            return KERNEL_VERSION

        try:
            asked = ray.remote(**self._where, **self._asked)(kernels).remote(run_task)
            found: Any = ray.get(asked, timeout=_START_S)
        except ray.exceptions.GetTimeoutError:
            ray.cancel(asked)
            return
        except (ray.exceptions.RayError, ImportError, AttributeError) as error:
            found = error
        if found != KERNEL_VERSION:
            raise ConfigurationError(
                "the machines of the Ray cluster, its head too, must have this version of "
                f"dot-pipeline (kernels {KERNEL_VERSION}), got {found}; install it there with "
                "pip install 'dot-pipeline[ray]'"
            )


class _Future(PrefectWrappedFuture[Any, "ray.ObjectRef[Any]"]):
    """A task on the cluster; what Ray itself says of it is a result too, and not raised."""

    def add_done_callback(self, fn: Callable[[PrefectFuture[Any]], None]) -> None:
        """Have a function called when the task has ended, in whatever way."""
        self.wrapped_future._on_completed(lambda _: fn(self))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """What the task returned, or the error that ended it.

        Raises:
            TimeoutError: it has not ended.
        """
        self.wait(timeout)
        if self._final_state is None:
            raise TimeoutError(f"the task run {self.task_run_id} must end in {timeout} s")
        return self._final_state.result(raise_on_failure=raise_on_failure)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the task has ended."""
        if self._final_state is not None:
            return
        try:
            self._final_state = ray.get(self.wrapped_future, timeout=timeout)
        except ray.exceptions.GetTimeoutError:
            return
        except ray.exceptions.RayTaskError as error:  # its text is a traceback
            self._crash(error.cause)
        except (ray.exceptions.RayError, ConnectionError) as error:
            self._crash(error)

    def _crash(self, error: BaseException) -> None:
        """Tell Prefect what became of the task, as its process cannot any more."""
        state: State[Any] = Crashed(message=f"{type(error).__name__}: {error}", data=error)
        with suppress(httpx.HTTPError, ObjectNotFound), get_client(sync_client=True) as client:
            client.set_task_run_state(self.task_run_id, state, force=True)
        self._final_state = state


@contextmanager
def _loss_told() -> Iterator[None]:
    """Say what a lost connection means; Ray has tried to mend it by then.

    Raises:
        DotpipeError: it is lost.
    """
    try:
        yield
    except ConnectionError as error:
        raise DotpipeError(
            "the connection to the Ray cluster must last as long as the run, but was lost "
            f"({error}); what is done is kept, run again to go on"
        ) from error


def _require_room(ask: Ask, among: list[Machine]) -> None:
    """Check that some machine can take a task: Ray would wait for one, without a word."""
    if any(machine.fits(ask) for machine in among):
        return
    largest = max(among, key=lambda machine: (machine.gpus, machine.cpus), default=None)
    raise ConfigurationError(
        f"the Ray cluster must have a machine with {ask.gpus:g} GPUs and {ask.cpus:g} processors "
        f"for a task, got {largest}; lower compute.runner.gpus (0 is for processors only) or "
        "compute.runner.cpus, or set compute.shards_at_once for a cluster that grows when it is "
        "asked to"
    )
