"""Taking over from other runs of a configuration: those that are due, and those that are dead."""

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
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled
from prefect.types import DateTime

from flows.pool import patiently, tell
from tasks.config import Config


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
    taken = FlowRunFilter(state=_in_state(StateType.PENDING, StateType.RUNNING))
    deployed = DeploymentFilter(name=DeploymentFilterName(any_=[config.name]))
    return [
        run
        for run in _runs(taken, deployed)
        if str(run.id) != flow_run.get_id() and _workspace_of(run) == config.workspace
    ]


def _runs(wanted: FlowRunFilter, deployed: DeploymentFilter | None = None) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        return patiently(
            lambda: client.read_flow_runs(flow_run_filter=wanted, deployment_filter=deployed)
        )


def _in_state(*states: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=[*states]))


def _workspace_of(run: FlowRun) -> Any:
    """Where a run is at work; None where it is a run of somebody else's flow."""
    config = run.parameters.get("config")
    return config.get("workspace") if isinstance(config, dict) else None
