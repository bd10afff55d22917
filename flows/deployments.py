"""Deployments: a configuration's flows, registered with a Prefect server for a pool's workers.

What is registered is said in ``infra/prefect.yaml``, which ``prefect deploy`` reads as well.
"""

import asyncio
from importlib.resources import files
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.types.entrypoint import EntrypointType

from tasks.config import Config
from tasks.io.errors import ConfigurationError

POOL = "dotpipe"
UNSCHEDULED = "none"
"""What to give for a schedule to have none."""


def deploy(config: Config, *, pool: str = POOL, schedule: str | None = None) -> list[str]:
    """The names of all deployments of a configuration, registered or brought up to date.

    The pool is made, for processes of one machine, where it is not there; its queues are.

    Args:
        config: whose flows they run.
        pool: of the workers that take the runs.
        schedule: cron line in UTC of when to do what is missing; None leaves it as it is.

    Raises:
        ConfigurationError: the schedule is no cron line.
    """
    return asyncio.run(_deploy(config, pool, schedule))


def prepare(pool: str, at_once: int) -> None:
    """Have the pool, whose queues let so many runs compute at a time, if it is not there yet."""
    asyncio.run(_prepare(pool, at_once))


def defined() -> dict[str, Any]:
    """What ``infra/prefect.yaml`` says."""
    text = (files("infra") / "prefect.yaml").read_text("utf-8")
    tree: dict[str, Any] = yaml.safe_load(text)
    return tree


async def _prepare(pool: str, at_once: int) -> None:
    queues = defined()["definitions"]["queues"]
    limited = {"concurrency_limit": at_once}
    async with get_client() as client:
        computing = {name: options | limited for name, options in queues.items()}
        await _require_pool(client, pool, computing | {"conductors": queues["conductors"]})


async def _deploy(config: Config, pool: str, schedule: str | None) -> list[str]:
    tree, names = defined(), []
    async with get_client() as client:
        await _require_pool(client, pool, tree["definitions"]["queues"])
        for entry in tree["deployments"]:
            deployment = await _deployment(entry, config, pool, schedule)
            identity = await deployment.aapply()
            names.append(deployment.full_name)
            if "schedules" in entry and schedule == UNSCHEDULED:
                for old in await client.read_deployment_schedules(identity):
                    await client.delete_deployment_schedule(identity, old.id)
    return names


async def _require_pool(client: PrefectClient, pool: str, queues: dict[str, Any]) -> None:
    """Have the pool with its queues; what a person has changed of them stays."""
    try:
        await client.read_work_pool(pool)
    except ObjectNotFound:
        await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    for name, options in queues.items():
        try:
            await client.read_work_queue_by_name(name, work_pool_name=pool)
        except ObjectNotFound:
            await client.create_work_queue(name, work_pool_name=pool, **options)


async def _deployment(
    entry: dict[str, Any], config: Config, pool: str, schedule: str | None
) -> RunnerDeployment:
    place = entry["work_pool"]
    wanted = schedule if "schedules" in entry and schedule != UNSCHEDULED else None
    try:
        return await load_flow_from_entrypoint(entry["entrypoint"]).ato_deployment(
            config.name,
            cron=wanted,
            parameters=entry["parameters"] | {"config": config.model_dump(mode="json")},
            description=entry["description"],
            tags=["dotpipe", f"data-set:{config.restored_name}"],
            work_pool_name=pool,
            work_queue_name=place["work_queue_name"],
            job_variables=place.get("job_variables", {}),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        if wanted is None:
            raise
        raise ConfigurationError(
            f"--schedule must be a cron line as in '0 2 * * *', or {UNSCHEDULED!r}, got "
            f"{wanted!r}: {error}"
        ) from error
