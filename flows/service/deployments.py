"""Deployments: the flows of a configuration, registered for the workers of a work pool.

``infra/prefect.yaml``, which ``prefect deploy`` reads as well, says what is registered.
"""

import asyncio
from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

import yaml
from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
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
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.runs.prefect_api import PAGE
from tasks.config import Config
from tasks.io.errors import ConfigurationError

POOL = "dotpipe"
TAG = "dotpipe"
"""The tag of all deployments of ours."""
UNSCHEDULED = "none"
"""What to give in place of a cron line to have no schedule."""


def deploy(config: Config, *, pool: str = POOL, schedule: str | None = None) -> list[str]:
    """Register all deployments of a configuration, or update them, and return their names.

    A pool that is missing is made, of the type ``process``, and so are missing queues.

    Args:
        config: the configuration, which becomes a parameter of the deployments.
        pool: the work pool whose workers take the runs.
        schedule: when to do what is missing, as a cron line in UTC; None leaves the schedule
            as it is, and ``UNSCHEDULED`` removes it.

    Raises:
        ConfigurationError: the schedule is no cron line.
    """
    schedules = None if schedule is None else read_schedule(schedule)
    return asyncio.run(_deploy(config, pool, schedules))


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


def undeploy(config: Config) -> Undeployed:
    """Remove the deployments of a configuration; pools, queues and runs that ended stay.

    Args:
        config: the configuration; what is registered under its name is removed, whatever it was
            when it was registered.
    """
    ours = DeploymentFilter(
        name=DeploymentFilterName(any_=[config.name]), tags=DeploymentFilterTags(all_=[TAG])
    )
    removed = Undeployed([], [], [], [])
    with get_client(sync_client=True) as client:
        found = client.read_deployments(deployment_filter=ours)
        for each in found:
            flow = client.read_flow(each.flow_id).name
            removed.names.append(f"{flow}/{config.name}")
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


def read_schedule(line: str) -> list[CronSchedule]:
    """The schedules that a line stands for, in UTC; none for ``UNSCHEDULED``.

    Raises:
        ConfigurationError: the line is no cron line of five fields. A sixth field, of
            seconds, is refused: runs would come faster than workers take them.
    """
    if line == UNSCHEDULED:
        return []
    try:
        if len(line.split()) == 5 or line.startswith("@"):
            return [CronSchedule(cron=line, timezone="UTC")]
    except ValidationError:
        pass
    raise ConfigurationError(
        f"--schedule must be a cron line as in '0 2 * * *', or {UNSCHEDULED!r}, got {line!r}"
    )


def prepare(pool: str) -> None:
    """Make a work pool with its queues for one machine, where it does not exist yet.

    Each queue lets one run compute at a time, because a run uses all GPUs.
    """
    asyncio.run(_prepare(pool))


def defined() -> dict[str, Any]:
    """The content of ``infra/prefect.yaml``."""
    text = (files("infra") / "prefect.yaml").read_text("utf-8")
    tree: dict[str, Any] = yaml.safe_load(text)
    return tree


async def _prepare(pool: str) -> None:
    queues = defined()["definitions"]["queues"]
    limited = {"concurrency_limit": 1}
    async with get_client() as client:
        computing = {name: options | limited for name, options in queues.items()}
        await _require_pool(client, pool, computing | {"conductors": queues["conductors"]})


async def _deploy(config: Config, pool: str, schedules: list[CronSchedule] | None) -> list[str]:
    tree, names = defined(), []
    async with get_client() as client:
        await _require_pool(client, pool, tree["definitions"]["queues"])
    for entry in tree["deployments"]:
        deployment = await _deployment(entry, config, pool)
        if schedules is not None and "schedules" in entry:
            deployment.schedules = [DeploymentScheduleCreate(schedule=each) for each in schedules]
        await deployment.aapply()
        names.append(deployment.full_name)
    return names


async def _require_pool(client: PrefectClient, pool: str, queues: dict[str, Any]) -> None:
    """Make the pool and those of its queues that are missing; change none that exists."""
    try:
        await client.read_work_pool(pool)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    for name, options in queues.items():
        try:
            await client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            await client.create_work_queue(name, work_pool_name=pool, **options)


async def _deployment(entry: dict[str, Any], config: Config, pool: str) -> RunnerDeployment:
    """The deployment of one entry; applying it keeps the schedules that the server has."""
    place, example = entry["work_pool"], entry["parameters"]["config"]["name"]
    deployment = await load_flow_from_entrypoint(entry["entrypoint"]).ato_deployment(
        config.name,
        parameters=entry["parameters"] | {"config": config.model_dump(mode="json")},
        description=entry["description"],
        tags=[tag.replace(example, config.restored_name) for tag in entry["tags"]],
        work_pool_name=pool,
        work_queue_name=place["work_queue_name"],
        job_variables=place.get("job_variables", {}),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.model_fields_set.discard("schedules")  # else the empty list would replace them
    return deployment
