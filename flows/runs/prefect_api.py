"""Requests to the Prefect server that outlast an outage, and states that runs are given."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

T = TypeVar("T")

_PAUSE_S = 2.0
"""Seconds before a server that is away is asked again."""

OUTAGE_S = 900.0
"""Seconds that the Prefect server may be away."""

PAGE = 100
"""Runs in one page of an answer; the API gives at most 200."""


def patiently(ask: Callable[[], T]) -> T:
    """What ``ask`` returns; it is called again while the Prefect server is away.

    A server that answers with a status of 500 or more counts as away.

    Raises:
        httpx.TransportError: the server was away for longer than ``OUTAGE_S``.
        PrefectHTTPStatusError: the server refuses the request, or failed for that long.
    """
    deadline = time.monotonic() + OUTAGE_S
    while True:
        try:
            return ask()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            failed = isinstance(error, httpx.TransportError) or error.response.is_server_error
            if not failed or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def has_workers(pool: str) -> bool:
    """Return whether a work pool has a worker that asks for work."""
    online = WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
    with client() as api:
        found = patiently(lambda: api.read_workers_for_work_pool(pool, worker_filter=online))
    return bool(found)


def without_workers(pool: str) -> str:
    """Return what to say of a pool without workers."""
    return (
        f"no worker asks for work of the pool {pool!r}; `dotpipe up --pool {pool}` starts one on "
        "this machine"
    )


def mark_crashed(run: FlowRun, reason: str) -> None:
    """Give a run that has lost its worker the state Crashed, with the reason as message."""
    set_state(run, Crashed(message=reason))


def set_state(run: FlowRun, state: State[Any]) -> None:
    """Give a run a state, unless it has ended meanwhile or was deleted.

    The server keeps the state of a run that has ended. It accepts a final state from a
    worker whose run was marked as crashed by mistake.
    """
    with client() as api, suppress(ObjectNotFound):
        api.set_flow_run_state(run.id, state)


def client() -> SyncPrefectClient:
    """A client of the Prefect server that the settings name."""
    return get_client(sync_client=True)
