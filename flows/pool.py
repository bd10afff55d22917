"""Errands: flow runs of deployments that a pool's workers do, watched until they end.

A run is found again by its idempotency key, so whoever takes over from a process that
died adopts what that one submitted. What is done is what the ledger says: a key whose
run has ended counts for nothing, and the errand is run under the next one.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

import httpx
from prefect import State
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.states import Crashed

from flows.presence import presence
from tasks.config import Config
from tasks.io.errors import ConfigurationError
from tasks.io.workspace import Workspace

T = TypeVar("T")

POLL_S = 2.0
_SILENCE_S = 30.0
"""A run that says it is running, and holds no claim for so long, has lost its worker."""

_OUTAGE_S = 900.0
"""How long the Prefect server may be away."""


class Errand(NamedTuple):
    """A flow run that is wanted: of which flow, with which parameters, under which key."""

    flow: str
    key: str
    parameters: dict[str, Any]
    tags: tuple[str, ...] = ()
    images: int = 0


class Lost(NamedTuple):
    """An errand that was given up, and what its last run said."""

    errand: Errand
    run: FlowRun

    @property
    def reason(self) -> str:
        """The state of the last run, in words."""
        state = self.run.state
        said = "" if state is None else f"{state.name}: {state.message or 'without a word'}"
        return f"{self.errand.flow} {self.run.name!r} ended {said}"


class Pulse:
    """Tells whether a run that is under way has lost its worker.

    A run that says it is running holds a claim in the workspace.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._claims = config, Workspace(config.workspace).claims
        self._state, self._since = "", 0.0
        self._silent_since: float | None = None

    def complaint(self, run: FlowRun) -> str | None:
        """Why the run, as it is now, will not end by itself; None if it may."""
        now, state = time.monotonic(), run.state_name or ""
        if state != self._state:
            self._state, self._since, self._silent_since = state, now, None
        if state == "Pending" and now - self._since > self._config.blocks.patience_s:
            return "its worker took it and did not begin"
        if state != "Running":
            return None
        if not self._claims.is_silent(presence(self._config, run.id)):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENCE_S:
            return "its worker died: it holds no claim in the workspace any more"
        return None


class _Trip(NamedTuple):
    """A run of an errand that is under way."""

    errand: Errand
    attempt: int
    pulse: Pulse


class Pool:
    """The workers' side of a configuration: its deployments, and the queue they are put in."""

    def __init__(self, config: Config, queue: str) -> None:
        self._config, self._queue = config, queue
        self._trips: dict[UUID, _Trip] = {}

    def run(
        self,
        errands: Iterable[Errand],
        *,
        at_once: int = 1,
        ended: Callable[[Errand], None] = lambda _: None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> list[Lost]:
        """Have all errands run, at most ``at_once`` submitted at a time; those given up.

        Args:
            errands: taken one by one, as there is room.
            at_once: so many.
            ended: is told of each that ended well.
            waited: is told now and then for how many seconds none has ended.

        Raises:
            ConfigurationError: a deployment is missing.
            httpx.TransportError: the Prefect server was away for too long.
        """
        lost, waiting, last = list[Lost](), iter(errands), time.monotonic()
        while True:
            while len(self._trips) < at_once and (errand := next(waiting, None)) is not None:
                self._send(errand, 1)
            if not self._trips:
                return lost
            time.sleep(POLL_S)
            for trip, run in self._arrived():
                last = time.monotonic()
                if run.state is not None and run.state.is_completed():
                    ended(trip.errand)
                elif trip.attempt < self._config.blocks.attempts:
                    get_run_logger().warning("%s; again", Lost(trip.errand, run).reason)
                    self._send(trip.errand, trip.attempt + 1)
                else:
                    lost.append(Lost(trip.errand, run))
            waited(time.monotonic() - last)

    def _send(self, errand: Errand, attempt: int) -> None:
        """Submit an errand, or adopt a run of it that is under way."""
        for number in count(1):
            run = patiently(partial(self._submit, errand, f"{errand.key}-{number}"))
            if run.state is None or not run.state.is_final():
                self._trips[run.id] = _Trip(errand, attempt, Pulse(self._config))
                return

    def _submit(self, errand: Errand, key: str) -> FlowRun:
        name = f"{errand.flow}/{self._config.name}"
        try:
            submitted = run_deployment(
                name,
                parameters=errand.parameters,
                tags=errand.tags,
                idempotency_key=key,
                work_queue_name=self._queue,
                timeout=0,
            )
            return cast(FlowRun, submitted)  # awaited by Prefect itself in a synchronous flow
        except ObjectNotFound as error:
            raise ConfigurationError(
                f"the deployment {name!r} must be registered, but is not; run `dotpipe deploy "
                "CONFIG` first"
            ) from error

    def _arrived(self) -> Iterator[tuple[_Trip, FlowRun]]:
        """The runs that have ended since the last look; the dead are told that they are."""
        for run in patiently(partial(_read, self._trips)):
            trip = self._trips[run.id]
            if run.state is None or run.state.is_final():
                yield self._trips.pop(run.id), run
            elif complaint := trip.pulse.complaint(run):
                patiently(partial(bury, run, complaint))


def patiently(ask: Callable[[], T]) -> T:
    """What the Prefect server answers, asked again while it is away.

    Raises:
        httpx.TransportError: it was away for too long.
        PrefectHTTPStatusError: it refuses, or has failed for too long.
    """
    deadline = time.monotonic() + _OUTAGE_S
    while True:
        try:
            return ask()
        except (httpx.TransportError, PrefectHTTPStatusError) as error:
            failed = isinstance(error, httpx.TransportError) or error.response.is_server_error
            if not failed or time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _read(ids: Iterable[UUID]) -> list[FlowRun]:
    with _client() as client:
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[*ids])))


def bury(run: FlowRun, complaint: str) -> None:
    """Tell the server that a run has lost its worker."""
    tell(run, Crashed(message=complaint))


def tell(run: FlowRun, state: State[Any]) -> None:
    """Give a run a state, whatever it has."""
    with _client() as client:
        client.set_flow_run_state(run.id, state, force=True)


def _client() -> SyncPrefectClient:
    return get_client(sync_client=True)
