"""Taking over from other runs: from those that are due, and from those whose process is gone."""

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

from flows.runs.prefect_api import PAGE, mark_crashed, patiently, set_state
from tasks.config import Config
from tasks.io.machine.processes import is_dead, place


def cancel_late_runs() -> None:
    """Cancel the scheduled runs of this run's deployment that are due: this run does their work.

    After an outage there is one for every night that was missed.
    """
    if (own := deployment.get_id()) is None:
        return
    due = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[UUID(own)]),
        state=_in_state(StateType.SCHEDULED),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.now(UTC)),
    )
    for run in _runs(due):
        if run.auto_scheduled:  # a person may be following a run that they have submitted
            state: State[None] = Cancelled(message=f"done by the run {flow_run.get_name()!r}")
            patiently(partial(set_state, run, state))


def cancel_waiting_runs(name: str) -> None:
    """Cancel the runs of the deployments of a name that no worker has taken yet.

    Whoever submitted them has ended, and they may be for another pool or former options.
    """
    deployed = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    waiting = FlowRunFilter(state=_in_state(StateType.SCHEDULED))
    for run in _runs(waiting, deployment_filter=deployed):
        state: State[None] = Cancelled(message="the command that submitted it has ended")
        patiently(partial(set_state, run, state))


def runs_under_way(config: Config) -> list[FlowRun]:
    """Other runs of the configuration's flows on the same workspace that are under way.

    A run whose worker was killed is among them: the server goes on showing it as running.
    """
    deployed = DeploymentFilter(name=DeploymentFilterName(any_=[config.name]))
    return [
        run
        for run in _runs(_taken(), deployment_filter=deployed)
        if str(run.id) != flow_run.get_id() and _workspace_of(run) == config.workspace
    ]


def crash_orphans(pool: str) -> None:
    """Mark the runs of a pool as crashed whose processes are gone from this machine.

    They would take places in the pool's queues for ever. To be called only while the pool
    has no worker, and only for a pool that no other machine has workers in.
    """
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    for run in _runs(_taken(), work_pool_filter=of_pool):
        process = (run.infrastructure_pid or "").rpartition(":")[2]  # host:number
        if not process.isdecimal() or is_dead(place(), int(process)):
            mark_crashed(run, "its worker was ended, and its process with it")


def _taken() -> FlowRunFilter:
    """Runs that a worker has taken and that have not ended."""
    return FlowRunFilter(state=_in_state(StateType.PENDING, StateType.RUNNING))


def _runs(wanted: FlowRunFilter, **filters: Any) -> list[FlowRun]:
    """All flow runs that pass the filters, the newest first."""
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
    """The workspace that a run's parameters name; None for a flow without a configuration."""
    config = run.parameters.get("config")
    return config.get("workspace") if isinstance(config, dict) else None
