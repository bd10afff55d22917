"""Errands: flow runs of deployments that a pool's workers do, watched until they end.

A run is found again by its idempotency key, so whoever takes over from a process that
died adopts what that one submitted. What is done is what the ledger says: a key whose
run has ended counts for nothing, and the errand is run under the next one.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple, cast
from uuid import UUID

from prefect import State
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Crashed

from flows.runs.liveness import NOT_BEGUN, Liveness
from flows.runs.prefect_api import PAGE, client, mark_crashed, patiently
from tasks.config import Config
from tasks.io.errors import ConfigurationError

POLL_S = 2.0
"""Between two looks at the runs that are under way."""


class RunRequest(NamedTuple):
    """A flow run that is wanted: of which flow, with which parameters, under which key."""

    flow: str
    key: str
    parameters: dict[str, Any]
    tags: tuple[str, ...] = ()
    images: int = 0
    name: str | None = None
    """What the run is called until it begins and names itself, if not by its flow."""


class Lost(NamedTuple):
    """An errand that was given up, and what its last run said."""

    errand: RunRequest
    run: FlowRun

    @property
    def reason(self) -> str:
        """The state of the last run, in words."""
        state = self.run.state
        said = "" if state is None else f"{state.name}: {state.message or 'without a word'}"
        return f"{self.errand.flow} {self.run.name!r} ended {said}"


class _Trip(NamedTuple):
    """A run of an errand that is under way."""

    errand: RunRequest
    attempt: int
    run: FlowRun


class Pool:
    """The workers' side of a configuration: its deployments, and the queue they are put in."""

    def __init__(self, config: Config, queue: str) -> None:
        self._config, self._queue = config, queue
        self._trips: dict[UUID, _Trip] = {}
        self._pulses: dict[UUID, Liveness] = {}
        """Of the trips, and of the runs of others that are watched."""

    def watch(self, runs: Iterable[FlowRun]) -> None:
        """Look after runs of others too: dead ones would keep their places in the queue."""
        self._pulses |= {run.id: Liveness(self._config) for run in runs}

    def run(
        self,
        errands: Iterable[RunRequest],
        *,
        at_once: int = 1,
        ended: Callable[[RunRequest], None] = lambda _: None,
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
                if run.state_type == StateType.COMPLETED:
                    ended(trip.errand)
                elif self._is_worth_another(trip, run):
                    get_run_logger().warning("%s; again", Lost(trip.errand, run).reason)
                    self._send(trip.errand, trip.attempt + (not _has_only_waited(run)))
                else:
                    lost.append(Lost(trip.errand, run))
            waited(time.monotonic() - last)

    def _is_worth_another(self, trip: _Trip, run: FlowRun) -> bool:
        """Whether an errand is tried again; not if a person has cancelled it."""
        if run.state_type == StateType.CANCELLED:
            return False
        return _has_only_waited(run) or trip.attempt < self._config.blocks.attempts

    def _send(self, errand: RunRequest, attempt: int) -> None:
        """Submit an errand, or adopt a run of it that is under way."""
        for number in count(1):
            run = patiently(partial(self._submit, errand, f"{errand.key}-{number}"))
            if not _is_over(run):
                self._trips[run.id] = _Trip(errand, attempt, run)
                self._pulses.setdefault(run.id, Liveness(self._config))
                return

    def _submit(self, errand: RunRequest, key: str) -> FlowRun:
        """The run of a key; submitted if there is none.

        Prefect finds it by the key as well, but first notes a run below ours that never ends.
        """
        if (known := _find(errand.flow, key)) is not None:
            return known
        name = f"{errand.flow}/{self._config.name}"
        try:
            submitted = run_deployment(
                name,
                parameters=errand.parameters,
                flow_run_name=errand.name or f"{errand.flow} {self._config.name}",
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
        found = {run.id: run for run in patiently(partial(_read, list(self._pulses)))}
        for identity, pulse in list(self._pulses.items()):
            run = found.get(identity)
            if run is None or _is_over(run):
                del self._pulses[identity]
                if (trip := self._trips.pop(identity, None)) is not None:
                    yield trip, run or _deleted(trip.run)
            elif complaint := pulse.complaint(run):
                patiently(partial(mark_crashed, run, complaint))


def _find(flow: str, key: str) -> FlowRun | None:
    """The run of a flow with this key, whatever became of it."""
    wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    named = FlowFilter(name=FlowFilterName(any_=[flow]))
    with client() as api:
        return next(iter(api.read_flow_runs(flow_filter=named, flow_run_filter=wanted)), None)


def _read(ids: Sequence[UUID]) -> list[FlowRun]:
    """Those of some runs that there are."""
    found: list[FlowRun] = []
    with client() as api:
        for start in range(0, len(ids), PAGE):
            page = FlowRunFilter(id=FlowRunFilterId(any_=[*ids[start : start + PAGE]]))
            found += api.read_flow_runs(flow_run_filter=page, limit=PAGE)
    return found


def _has_only_waited(run: FlowRun) -> bool:
    """Whether a run was given up because it did not begin, for want of a machine perhaps."""
    return run.state is not None and run.state.message == NOT_BEGUN


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _deleted(run: FlowRun) -> FlowRun:
    """A run as it was last known, which somebody has deleted from the server."""
    gone: State[None] = Crashed(message="it was deleted from the Prefect server")
    return run.model_copy(update={"state": gone, "state_type": gone.type})
