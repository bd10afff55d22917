"""The Prefect server, asked again while it is away; states that it is told of."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import httpx
from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Crashed

T = TypeVar("T")

_PAUSE_S = 2.0
"""Before a server that is away is asked again."""

OUTAGE_S = 900.0
"""How long the Prefect server may be away."""

PAGE = 100
"""Runs that the API is asked for at a time; it gives at most 200."""


def patiently(ask: Callable[[], T]) -> T:
    """What the Prefect server answers, asked again while it is away.

    Raises:
        httpx.TransportError: it was away for too long.
        PrefectHTTPStatusError: it refuses, or has failed for too long.
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


def mark_crashed(run: FlowRun, complaint: str) -> None:
    """Tell the server that a run has lost its worker."""
    tell(run, Crashed(message=complaint))


def tell(run: FlowRun, state: State[Any]) -> None:
    """Give a run a state, unless it has ended meanwhile or is there no more.

    Prefect refuses what comes too late. A worker that was thought dead may still say how its
    run has ended.
    """
    with client() as api, suppress(ObjectNotFound):
        api.set_flow_run_state(run.id, state)


def client() -> SyncPrefectClient:
    """A client of the server that the settings name."""
    return get_client(sync_client=True)
