"""A stand-in for a pool's workers, which takes runs as they come and sets their states.

with StandIn("enhance-block", do=lambda run: give(run, Completed())) as stand_in:
    ...                         # runs of this flow are taken, one after the other
stand_in.taken                  # in the order in which they came
"""

import _thread
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Self
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Pending

_SCHEDULED = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))


class StandIn:
    """Takes the runs of a flow that are submitted while the block runs.

    Args:
        flow: the name of the flow.
        do: called with each run that is taken; a run stays PENDING unless it sets a state.
    """

    def __init__(self, flow: str, do: Callable[[FlowRun], object]) -> None:
        self._flow, self._do = flow, do
        self._ended = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._work,))
        self.taken: list[FlowRun] = []
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            while not self._ended.wait(0.02):
                for run in runs_of(self._flow, scheduled=True):
                    give(run, Pending())
                    self.taken.append(run)
                    self._do(run)
        except Exception as error:  # noqa: BLE001 - the test is told
            self.error = error
            _thread.interrupt_main()  # who waits for this worker would wait for ever


def register(*flows: str, name: str, pool: str = "stand-in", **options: Any) -> list[UUID]:
    """Register a deployment of this name for each flow, which need not exist; return their ids."""
    with get_client(sync_client=True) as client:
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        return [
            client.create_deployment(
                client.create_flow_from_name(flow),
                name,
                work_pool_name=pool,
                enforce_parameter_schema=False,
                **options,
            )
            for flow in flows
        ]


def runs_of(flow: str, *, scheduled: bool = False) -> list[FlowRun]:
    """The runs of a flow, the oldest first; only those that wait for a worker, if asked."""
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(state=_SCHEDULED) if scheduled else None,
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        )


def give(run: FlowRun, *states: Any) -> None:
    """Set the states of a run, one after the other, as a worker and the run itself do."""
    with get_client(sync_client=True) as client:
        for state in states:
            client.set_flow_run_state(run.id, state)


def read(run: FlowRun) -> FlowRun:
    """The run as it is now."""
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run.id)
