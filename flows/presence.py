"""Being at work on a workspace: seen by those who would clean it up meanwhile."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from prefect.runtime import flow_run

from flows.ending import soon
from tasks.config import Config
from tasks.io.workspace import Workspace
from tasks.registry import register
from tasks.waste import CLEANING, RUNS

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
        claims = Workspace(config.workspace).claims
        with soon(), claims.held(presence(config, flow_run.get_id() or uuid.uuid4())):
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
