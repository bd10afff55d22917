"""Being at work on a workspace: seen by those who would clean it up meanwhile."""

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

from flows.runs.shutdown import soon
from tasks.config import Config
from tasks.config.registry import register
from tasks.io.workspace import CLEANING, RUNS, Workspace

F = TypeVar("F", bound=Callable[..., Any])


def at_work(flow: F) -> F:
    """A flow that its workspace knows of as long as it lasts; it takes a configuration first.

    It waits for a clean-up that is under way, which would take what it publishes for waste,
    and ends soon when a worker is told to end.

    Raises:
        ConfigurationError: another configuration makes a data set of the same name otherwise.
    """

    @wraps(flow)
    def known(config: Config, *args: Any, **options: Any) -> Any:
        claims, run = Workspace(config.workspace).claims, flow_run.get_id()
        words = None if run is None else partial(_tell_of_the_end, UUID(run))
        ours = claims.held(presence(config, run or uuid.uuid4()), patient=True)
        with soon(words), ours:  # a former process of this run may have left its claim
            if CLEANING in claims.names():
                with claims.held(CLEANING, patient=True):  # when it has ended, or its owner has
                    pass
            register(config)
            return flow(config, *args, **options)

    return cast(F, known)


def presence(config: Config, run: object) -> str:
    """The claim that a run of a flow holds as long as it lasts.

    Args:
        config: of the run.
        run: the id of the flow run.
    """
    return f"{RUNS}/{config.name}-{str(run).replace('-', '')[:12]}"


def _tell_of_the_end(run: UUID) -> None:
    """Tell the server of a run that is cut off, or it would be running there for ever.

    Where Prefect plans evicted runs again, it has told by now, and the next process of the
    run may be at work.
    """
    if os.environ.get("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR") == "reschedule":
        return
    with get_client(sync_client=True) as client:
        if client.read_flow_run(run).state_type == StateType.RUNNING:
            crashed: State[None] = Crashed(message="it was told to end, and did not in time")
            client.set_flow_run_state(run, crashed)
