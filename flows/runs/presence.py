"""A run's claim on its workspace, which keeps others from cleaning up there meanwhile."""

import os
import uuid
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.runtime import flow_run
from prefect.states import Crashed

from flows.runs.healing import healing_noted
from flows.runs.shutdown import shutdown_deadline
from tasks.config import Config
from tasks.config.registry import register, taken_over
from tasks.io.workspace import CLEANING, RUNS, Workspace
from tasks.jobs.policy import logger

F = TypeVar("F", bound=Callable[..., Any])


def at_work(flow: F) -> F:
    """Decorate a flow so that it holds a claim in its workspace for as long as it runs.

    The flow's first parameter must be its configuration, which is registered in the
    workspace. The flow begins after any clean-up that is under way, because that would
    remove the files it publishes. After SIGTERM the process ends in time. A failure that
    cannot heal is noted on the run.

    Raises:
        ConfigurationError: another configuration makes a data set of the same name otherwise.
    """

    @wraps(flow)
    def claimed(config: Config, *args: Any, **options: Any) -> Any:
        named = flow_run.get_id()
        run = None if named is None else UUID(named)
        with healing_noted(run):
            return _present(flow, run, config, *args, **options)

    return cast(F, claimed)


def _present(
    flow: Callable[..., Any], run: UUID | None, config: Config, *args: Any, **options: Any
) -> Any:
    """Call a flow while its claim is held."""
    claims = Workspace(config.workspace).claims
    before_exit = None if run is None else partial(_mark_cut_off, run)
    ours = claims.held(presence(config, run or uuid.uuid4()), patient=True)
    with shutdown_deadline(before_exit), ours:  # waits for a former process of this run
        if CLEANING in claims.names():
            # Wait until the clean-up has ended, or its claim has expired.
            with claims.held(CLEANING, patient=True):
                pass
        for sentence in taken_over(config):
            logger().warning(sentence)
        register(config)
        return flow(config, *args, **options)


def presence(config: Config, run: object) -> str:
    """The name of the claim that a flow run holds for as long as it runs.

    Args:
        config: the configuration of the run.
        run: the id of the flow run.
    """
    return f"{RUNS}/{config.name}-{str(run).replace('-', '')[:12]}"


def _mark_cut_off(run: UUID) -> None:
    """Mark a run that is cut off as crashed; the server would show it as running for ever.

    Does nothing where Prefect reschedules evicted runs: it has set the run's state by now,
    and the next process of the run may be at work.
    """
    if os.environ.get("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR") == "reschedule":
        return
    with get_client(sync_client=True) as client:
        if client.read_flow_run(run).state_type == StateType.RUNNING:
            crashed: State[None] = Crashed(message="it was told to end, and did not in time")
            client.set_flow_run_state(run, crashed)
