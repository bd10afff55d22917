"""What deploying registered, removed again."""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort

from flows.runs.prefect_api import PAGE
from flows.service.deployments import TAG


class Undeployed(NamedTuple):
    """What of a configuration was removed from the server, and what was left."""

    names: list[str]
    """The deployments that were removed, with their schedules."""
    schedules: list[str]
    """The cron lines among these."""
    dropped: list[str]
    """Names of runs that had not begun, which are gone with their deployments."""
    running: list[tuple[str, str]]
    """Flows and names of runs that have begun, which go on."""


def undeploy(name: str) -> Undeployed:
    """Remove the deployments of a configuration or study; pools, queues, ended runs stay.

    Args:
        name: of the deployments; what is registered under it is removed, whatever it was made of.
    """
    ours = DeploymentFilter(
        name=DeploymentFilterName(any_=[name]), tags=DeploymentFilterTags(all_=[TAG])
    )
    removed = Undeployed([], [], [], [])
    with get_client(sync_client=True) as client:
        found = client.read_deployments(deployment_filter=ours)
        for each in found:
            flow = client.read_flow(each.flow_id).name
            removed.names.append(f"{flow}/{name}")
            removed.schedules.extend(
                one.schedule.cron
                for one in each.schedules
                if isinstance(one.schedule, CronSchedule)
            )
            removed.dropped.extend(_names_of_runs(client, each.id, _WAITING))
            removed.running.extend((flow, name) for name in _names_of_runs(client, each.id, _BEGUN))
        for each in found:
            client.delete_deployment(each.id)
    return removed


_WAITING = [StateType.SCHEDULED]
_BEGUN = [StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


def _names_of_runs(
    client: SyncPrefectClient, deployment: UUID, states: list[StateType]
) -> Iterator[str]:
    """The names of a deployment's runs in these states, the earliest first."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
    )
    for start in count(0, PAGE):
        page = client.read_flow_runs(
            flow_run_filter=wanted,
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=PAGE,
            offset=start,
        )
        yield from (run.name for run in page)
        if len(page) < PAGE:
            return
