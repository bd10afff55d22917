"""Requested runs: flow runs that the workers of a work pool do, watched until they end.

A run is found again by its idempotency key, so a process that takes over from one that
died adopts the runs which that one submitted. Whether work is done is known from the ledger
alone: where the run of a key has ended, the request is submitted anew under the next key.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from flows.runs.healing import may_heal
from flows.runs.liveness import NOT_BEGUN, Liveness
from flows.runs.prefect_api import PAGE, client, mark_crashed, patiently
from tasks.config import Config
from tasks.io.errors import ConfigurationError

POLL_S = 2.0
"""Seconds between two looks at the runs that are under way."""


class RunRequest(NamedTuple):
    """A flow run that is wanted: of which flow, with which parameters, under which key."""

    flow: str
    key: str
    """What the idempotency keys of its runs begin with; a number follows."""
    parameters: dict[str, Any]
    tags: tuple[str, ...] = ()
    images: int = 0
    """Images that the run has yet to process; for the display of progress only."""
    name: str | None = None
    """The run's name until it begins and names itself; by default made from its flow's."""


class FailedRequest(NamedTuple):
    """A request that was given up, and its last run."""

    request: RunRequest
    run: FlowRun

    @property
    def reason(self) -> str:
        """A sentence with the state in which the last run ended."""
        state = self.run.state
        said = "" if state is None else f"{state.name}: {state.message or 'without a word'}"
        return f"{self.request.flow} {self.run.name!r} ended {said}"


class _Attempt(NamedTuple):
    """A run that was submitted for a request, and which attempt it is, from 1 on."""

    request: RunRequest
    number: int
    run: FlowRun


class WorkPoolRuns:
    """Runs that one configuration has submitted to its work pool, and the runs it watches.

    Args:
        config: the configuration whose deployments are run.
        queue: the work queue that the runs are put in.
    """

    def __init__(self, config: Config, queue: str) -> None:
        self._config, self._queue = config, queue
        self._under_way: dict[UUID, _Attempt] = {}
        self._liveness: dict[UUID, Liveness] = {}
        """Of the attempts under way, and of the watched runs of others."""

    def watch(self, runs: Iterable[FlowRun]) -> None:
        """Mark these runs of others as crashed too once they are dead.

        A dead run that still counts as running takes a place in its queue.
        """
        self._liveness |= {run.id: self._liveness_of(run.parameters) for run in runs}

    def run(
        self,
        requests: Iterable[RunRequest],
        *,
        at_once: int = 1,
        ended: Callable[[RunRequest], None] = lambda _: None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> list[FailedRequest]:
        """Submit all requests, wait for their runs, and return those that were given up.

        Args:
            requests: taken one by one, as there is room.
            at_once: the most runs that are submitted and have not ended.
            ended: called with each request whose run ended well.
            waited: called after every look with the seconds since a run last ended.

        Raises:
            ConfigurationError: a deployment is missing.
            httpx.TransportError: the Prefect server was away for too long.
        """
        failed, waiting, last = list[FailedRequest](), iter(requests), time.monotonic()
        while True:
            while len(self._under_way) < at_once and (request := next(waiting, None)) is not None:
                self._send(request, 1)
            if not self._under_way:
                return failed
            time.sleep(POLL_S)
            for attempt, run in self._newly_ended():
                last = time.monotonic()
                if run.state_type == StateType.COMPLETED:
                    ended(attempt.request)
                elif self._may_try_again(attempt, run):
                    again = FailedRequest(attempt.request, run)
                    get_run_logger().warning("%s; again", again.reason)
                    self._send(attempt.request, attempt.number + (not _never_began(run)))
                else:
                    failed.append(FailedRequest(attempt.request, run))
            waited(time.monotonic() - last)

    def _may_try_again(self, attempt: _Attempt, run: FlowRun) -> bool:
        """Whether the request gets another run.

        Not if a person has cancelled this one, or would have to mend something first.
        """
        if run.state_type == StateType.CANCELLED or not may_heal(run):
            return False
        return _never_began(run) or attempt.number < self._config.blocks.attempts

    def _send(self, request: RunRequest, number: int) -> None:
        """Submit a run for a request, or adopt one that is under way."""
        for suffix in count(1):
            run = patiently(partial(self._submit, request, f"{request.key}-{suffix}"))
            if not _is_over(run):
                self._under_way[run.id] = _Attempt(request, number, run)
                self._liveness.setdefault(run.id, self._liveness_of(request.parameters))
                return

    def _liveness_of(self, parameters: Mapping[str, Any]) -> Liveness:
        """Judge a run by the claim of its own configuration: that of a study's point, or ours."""
        own = parameters.get("config")
        name = own.get("name") if isinstance(own, dict) else None
        return Liveness(self._config.model_copy(update={"name": name or self._config.name}))

    def _submit(self, request: RunRequest, key: str) -> FlowRun:
        """The run with an idempotency key; it is submitted if there is none.

        ``run_deployment`` would find the run by its key too, but inside a flow it first
        creates a task run for it below that flow's run, and this task run would never end.
        """
        if (known := _find(request.flow, key)) is not None:
            return known
        name = f"{request.flow}/{self._config.name}"
        try:
            submitted = run_deployment(
                name,
                parameters=request.parameters,
                flow_run_name=request.name or f"{request.flow} {self._config.name}",
                tags=request.tags,
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

    def _newly_ended(self) -> Iterator[tuple[_Attempt, FlowRun]]:
        """The attempts that have ended since the last look; dead runs are marked as crashed."""
        found = {run.id: run for run in patiently(partial(_read, list(self._liveness)))}
        for identity, liveness in list(self._liveness.items()):
            run = found.get(identity)
            if run is None or _is_over(run):
                del self._liveness[identity]
                if (attempt := self._under_way.pop(identity, None)) is not None:
                    yield attempt, run or _deleted(attempt.run)
            elif reason := liveness.why_dead(run):
                patiently(partial(mark_crashed, run, reason))


def _find(flow: str, key: str) -> FlowRun | None:
    """The run of a flow with this idempotency key in whatever state, or None."""
    wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    named = FlowFilter(name=FlowFilterName(any_=[flow]))
    with client() as api:
        return next(iter(api.read_flow_runs(flow_filter=named, flow_run_filter=wanted)), None)


def _read(ids: Sequence[UUID]) -> list[FlowRun]:
    """The runs with these ids, without those that the server does not know."""
    found: list[FlowRun] = []
    with client() as api:
        for start in range(0, len(ids), PAGE):
            page = FlowRunFilter(id=FlowRunFilterId(any_=[*ids[start : start + PAGE]]))
            found += api.read_flow_runs(flow_run_filter=page, limit=PAGE)
    return found


def _never_began(run: FlowRun) -> bool:
    """Whether a run was given up before it began; it may have waited for a machine."""
    return run.state is not None and run.state.message == NOT_BEGUN


def _is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def _deleted(run: FlowRun) -> FlowRun:
    """The last known form of a run that was deleted from the server, in the state Crashed."""
    gone: State[None] = Crashed(message="it was deleted from the Prefect server")
    return run.model_copy(update={"state": gone, "state_type": gone.type})
