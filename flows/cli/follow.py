"""Following a run that workers do: its steps are shown as bars until it ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from flows.runs.liveness import Liveness
from flows.runs.prefect_api import has_workers, mark_crashed, patiently, without_workers
from flows.steps.by_verb import FLOWS
from flows.steps.lines import PERIOD_S
from tasks.config import Config
from tasks.io.errors import DotpipeError

_SECONDS_BETWEEN_LOOKS = 2.0
_HINT_S = 20.0
"""Seconds until a run that waits is worth a hint; workers look for work every few seconds."""


def follow(run: FlowRun, config: Config, console: Console) -> FlowRun:
    """Show the progress of a run as bars until it ends, and return it as it ended.

    The run is marked as crashed if its worker has died.

    Raises:
        DotpipeError: the run was deleted, or the server was away for too long.
    """
    bars = Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        console=console,
    )
    shown: dict[UUID, TaskID] = {}
    liveness, remarks = Liveness(config, from_afar=True), _Remarks(console)
    with bars, _explained_errors(run), get_client(sync_client=True) as client:
        state = bars.add_task(run.name, total=None)
        while True:
            now = patiently(lambda: client.read_flow_run(run.id))
            said = now.state_name or "unknown"
            bars.update(state, description=f"{now.name}: {said.lower()}")
            remarks.print(now, said.lower())
            for artifact in (artifacts := patiently(lambda: _progress(client, run.id))):
                _show(artifact, shown, bars)
            remarks.print_progress(artifacts)
            if now.state is not None and now.state.is_final():
                bars.update(state, total=1, completed=1)
                return now
            if reason := liveness.why_dead(now):
                patiently(partial(mark_crashed, now, reason))
            time.sleep(_SECONDS_BETWEEN_LOOKS)


class _Remarks:
    """Lines beside the bars: states and progress where a terminal shows none, a hint on workers."""

    def __init__(self, console: Console) -> None:
        self._console, self._begun = console, time.monotonic()
        self._last, self._has_hinted = "", False
        self._told: dict[UUID, str] = {}
        self._told_at = self._begun

    def print(self, run: FlowRun, state: str) -> None:
        """Print what is new since the last call."""
        if state != self._last and not self._console.is_terminal:
            self._console.print(f"{run.name}: {state}")
        self._last = state
        waits = run.state_type == StateType.SCHEDULED and not self._has_hinted
        if waits and time.monotonic() - self._begun > _HINT_S:
            self._has_hinted = True
            if not has_workers(pool := run.work_pool_name or ""):
                self._console.print(without_workers(pool), soft_wrap=True)

    def print_progress(self, artifacts: list[Artifact]) -> None:
        """Print once a minute the steps whose progress is another, where there are no bars."""
        if self._console.is_terminal or time.monotonic() - self._told_at < PERIOD_S:
            return
        self._told_at = time.monotonic()
        for artifact in artifacts:
            said = artifact.description or ""
            if said and self._told.get(artifact.id) != said:
                self._told[artifact.id] = said
                self._console.print(said, soft_wrap=True, markup=False, highlight=False)


@contextmanager
def _explained_errors(run: FlowRun) -> Iterator[None]:
    """Translate the errors after which a run can no longer be followed.

    Raises:
        DotpipeError: the run was deleted, or the server is away.
    """
    try:
        yield
    except ObjectNotFound as error:
        raise DotpipeError(
            f"the run {run.name!r} must be on the Prefect server to be followed, but was deleted"
        ) from error
    except httpx.TransportError as error:
        raise DotpipeError(
            f"the Prefect server must answer for the run {run.name!r} to be followed, but is away; "
            "the run may go on meanwhile"
        ) from error


def _progress(client: SyncPrefectClient, run: UUID) -> list[Artifact]:
    """The progress artifacts of a run and of the runs below it, the oldest first."""
    runs, last = [run], [run]
    # Blocks may be thousands: their conductor counts them.
    stages = FlowFilter(name=FlowFilterName(any_=[*FLOWS.values()]))
    while last:
        below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=last))
        found_below = client.read_flow_runs(flow_filter=stages, flow_run_filter=below)
        last = [found.id for found in found_below]
        runs += last
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=runs),
        type=ArtifactFilterType(any_=["progress"]),
    )
    found = client.read_artifacts(artifact_filter=wanted)
    return sorted(found, key=lambda artifact: str(artifact.created))


def _show(artifact: Artifact, shown: dict[UUID, TaskID], bars: Progress) -> None:
    if artifact.id not in shown:
        shown[artifact.id] = bars.add_task("", total=100)
    done = artifact.data if isinstance(artifact.data, (int, float)) else 0.0
    description = artifact.description or artifact.key or "step"
    bars.update(shown[artifact.id], completed=done, description=description)
