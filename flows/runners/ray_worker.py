"""What a process of a Ray cluster does with each task, of which it runs one at a time."""

import os
from socket import gethostname
from typing import Any

import ray
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect_ray import RayTaskRunner

from tasks.io.errors import ConfigurationError, keep_place
from tasks.io.machine.resources import Allotment, allotted
from tasks.jobs import Job

_DRAIN_TIMEOUT_S = 10
"""Seconds to wait until a task's logs and events are with the Prefect server."""


def environment(cpus: float) -> dict[str, str]:
    """Environment variables of a process whose tasks get so many processors each.

    Such a process sees all devices of its machine, and each task is told which are its own.
    Ray would show a process the devices of one task at a time; but CUDA looks once, so that it
    could not go from one device to another and keep the networks that it has loaded.
    """
    return {
        "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
        "OMP_NUM_THREADS": str(max(1, int(cpus))),
    }


def run_task(*upstream: Any, **told: Any) -> Any:
    """Run a Prefect task in this process and return the state in which it ended.

    Takes the place of ``RayTaskRunner._run_prefect_task``, and takes its arguments.

    Raises:
        ConfigurationError: the workspace is a folder that this machine does not have.
    """
    _require_workspace(told["parameters"].get("job"))
    with allotted(_share()):
        try:
            state = RayTaskRunner._run_prefect_task(*upstream, **told)
            if isinstance(error := state.result(raise_on_failure=False), BaseException):
                keep_place(error)
            return state
        finally:
            # Ray may end this process at any time from now on, without a chance to do so.
            EventsWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)
            APILogWorker.drain_all(timeout=_DRAIN_TIMEOUT_S)


def _require_workspace(job: object) -> None:
    """Check that a workspace which is a folder exists on this machine too.

    Raises:
        ConfigurationError: it does not.
    """
    if not isinstance(job, Job):
        return
    folder = job.opened().store.local()
    if folder is not None and not folder.is_dir():
        raise ConfigurationError(
            f"the workspace must be a bucket, or a folder that all machines of the Ray cluster "
            f"share, got {str(folder)!r}, which {gethostname()} does not have"
        )


def _share() -> Allotment:
    """The processors and devices that Ray has assigned to the current task."""
    given = ray.get_runtime_context().get_assigned_resources()
    devices = tuple(_number(device) for device in ray.get_gpu_ids())
    return Allotment(cores=max(1, int(given.get("CPU", 1))), devices=devices)


def _number(device: int | str) -> int:
    """Torch's number of a device; torch counts only those in CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",").index(str(device)) if visible else int(device)
