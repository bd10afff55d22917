"""Taking over from other runs: those that are due, and those that are dead."""

from datetime import UTC
from functools import partial
from typing import Any
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled
from prefect.types import DateTime

from flows.runs.prefect_api import PAGE, mark_crashed, patiently, tell
from tasks.config import Config
from tasks.io.machine.processes import is_dead, place


def cancel_late_runs() -> None:
    """Cancel the runs of this run's schedule that are due by now: this one does their work.

    After an outage the schedule has left one for every night.
    """
    if (own := deployment.get_id()) is None:
        return
    due = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[UUID(own)]),
        state=_in_state(StateType.SCHEDULED),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now(UTC)),
    )
    for run in _runs(due):
        if run.auto_scheduled:  # those that a person wants may be followed by that person
            state: State[None] = Cancelled(message=f"done by the run {flow_run.get_name()!r}")
            patiently(partial(tell, run, state))


def runs_under_way(config: Config) -> list[FlowRun]:
    """Other runs of the configuration's flows, on this workspace, that a worker has taken.

    A run whose worker was killed with all else says for ever that it is running.
    """
    deployed = DeploymentFilter(name=DeploymentFilterName(any_=[config.name]))
    return [
        run
        for run in _runs(_taken(), deployment_filter=deployed)
        if str(run.id) != flow_run.get_id() and _workspace_of(run) == config.workspace
    ]


def crash_orphans(pool: str) -> None:
    """Tell the server of runs whose processes are gone, of a pool that is this machine's alone.

    They would keep their places in the queues. To be called while the pool has no worker.
    """
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    for run in _runs(_taken(), work_pool_filter=of_pool):
        process = (run.infrastructure_pid or "").rpartition(":")[2]  # host:number
        if not process.isdecimal() or is_dead(place(), int(process)):
            mark_crashed(run, "its worker was ended, and its process with it")


def _taken() -> FlowRunFilter:
    return FlowRunFilter(state=_in_state(StateType.PENDING, StateType.RUNNING))


def _runs(wanted: FlowRunFilter, **filters: Any) -> list[FlowRun]:
    found = list[FlowRun]()
    with get_client(sync_client=True) as client:
        ask = partial(client.read_flow_runs, flow_run_filter=wanted, limit=PAGE, **filters)
        while True:
            page = patiently(partial(ask, sort=FlowRunSort.ID_DESC, offset=len(found)))
            found += page
            if len(page) < PAGE:
                return found


def _in_state(*states: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=[*states]))


def _workspace_of(run: FlowRun) -> Any:
    """Where a run is at work; None where it is a run of somebody else's flow."""
    config = run.parameters.get("config")
    return config.get("workspace") if isinstance(config, dict) else None
