"""The future of a task that runs on a Ray cluster."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import ray
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.futures import PrefectFuture, PrefectWrappedFuture
from prefect.states import Crashed


class RayFuture(PrefectWrappedFuture[Any, "ray.ObjectRef[Any]"]):
    """The future of a task on the cluster.

    Where Ray has lost the task's process, that is its result: a state Crashed.
    """

    def add_done_callback(self, fn: Callable[[PrefectFuture[Any]], None]) -> None:
        """Have ``fn`` called with this future when the task has ended, well or not."""
        self.wrapped_future._on_completed(lambda _: fn(self))

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """What the task returned, or the error that ended it.

        Raises:
            TimeoutError: the task has not ended in ``timeout`` seconds.
            Exception: the error that ended the task, if ``raise_on_failure``.
        """
        self.wait(timeout)
        if self._final_state is None:
            raise TimeoutError(f"the task run {self.task_run_id} must end in {timeout} s")
        return self._final_state.result(raise_on_failure=raise_on_failure)

    def wait(self, timeout: float | None = None) -> None:
        """Return when the task has ended, or after ``timeout`` seconds."""
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
        """Set the task run's state to Crashed, because its process no longer can."""
        state: State[Any] = Crashed(message=f"{type(error).__name__}: {error}", data=error)
        with suppress(httpx.HTTPError, ObjectNotFound), get_client(sync_client=True) as client:
            client.set_task_run_state(self.task_run_id, state, force=True)
        self._final_state = state
