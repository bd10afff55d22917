"""Deployments: the flows of a configuration, registered for the workers of a work pool.

``infra/prefect.yaml``, which ``prefect deploy`` reads as well, says what is registered.
"""

import asyncio
from importlib.resources import files
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from tasks.config import Config
from tasks.io.errors import ConfigurationError

POOL = "dotpipe"
TAG = "dotpipe"
"""The tag of all deployments of ours."""
UNSCHEDULED = "none"
"""What to give in place of a cron line to have no schedule."""

SCHEDULED = {
    "schedule": "flows.backfill_in_blocks.backfill_in_blocks",
    "gc": "flows.clean_workspace.clean_workspace",
}
"""The entrypoints that can have a schedule, by the option that gives it one."""


def deploy(
    config: Config, *, pool: str = POOL, schedule: str | None = None, gc: str | None = None
) -> list[str]:
    """Register all deployments of a configuration, or update them, and return their names.

    A pool that is missing is made, of the type ``process``, and so are missing queues.

    Args:
        config: the configuration, which becomes a parameter of the deployments.
        pool: the work pool whose workers take the runs.
        schedule: when to do what is missing, as a cron line in UTC; None leaves the schedule
            as it is, and ``UNSCHEDULED`` removes it.
        gc: when to remove what no configuration of the workspace needs, likewise.

    Raises:
        ConfigurationError: a schedule is no cron line, or the configuration does not say what
            new images mean for the operator.
    """
    schedules = read_schedules(config, schedule=schedule, gc=gc)
    return asyncio.run(_deploy(defined()["deployments"], config, pool, schedules))


def deploy_study(config: Config, name: str, *, pool: str = POOL) -> list[str]:
    """Register what does the points of a study, or update it, and return the names.

    Args:
        config: of any point; each run is given its own.
        name: of the deployments.
        pool: the work pool whose workers take the runs; made as for a configuration.
    """
    named = config.model_copy(update={"name": name})
    return asyncio.run(_deploy(defined()["definitions"]["study"], named, pool, {}))


def read_schedules(config: Config, **lines: str | None) -> dict[str, list[CronSchedule]]:
    """The schedules that are given, by the entrypoint that is to have them.

    Args:
        config: which is to be scheduled.
        lines: cron lines by the names of ``SCHEDULED``; None for a schedule that stays.

    Raises:
        ConfigurationError: a line is no cron line, or the configuration does not say what new
            images mean for the operator.
    """
    given = {name: line for name, line in lines.items() if line is not None}
    found = {SCHEDULED[name]: read_schedule(line, name) for name, line in given.items()}
    if found.get(SCHEDULED["schedule"]) and config.fit.refit_beyond is None:
        raise ConfigurationError(
            "a configuration with a schedule must say in fit.refit_beyond how far statistics may "
            "move before the operator is fitted again, got null: every night with a new image "
            "would enhance all images again. Write fit: {refit_beyond: 0.1} to keep the operator "
            "while they hardly move, or 0 for a new one after every change"
        )
    return found


def read_schedule(line: str, option: str = "schedule") -> list[CronSchedule]:
    """The schedules that a line stands for, in UTC; none for ``UNSCHEDULED``.

    Args:
        line: of five fields.
        option: that gave the line.

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
        f"--{option} must be a cron line as in '0 2 * * *', or {UNSCHEDULED!r}, got {line!r}"
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


async def _deploy(
    entries: list[dict[str, Any]],
    config: Config,
    pool: str,
    schedules: dict[str, list[CronSchedule]],
) -> list[str]:
    names = []
    async with get_client() as client:
        await _require_pool(client, pool, defined()["definitions"]["queues"])
    for entry in entries:
        deployment = await _deployment(entry, config, pool)
        if (given := schedules.get(entry["entrypoint"])) is not None:
            deployment.schedules = [DeploymentScheduleCreate(schedule=each) for each in given]
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
