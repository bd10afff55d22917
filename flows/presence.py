"""Being at work on a workspace: seen by those who would clean it up meanwhile."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from tasks.config import Config
from tasks.io.workspace import Workspace
from tasks.registry import register
from tasks.waste import CLEANING, RUNS

T = TypeVar("T")


def at_work(flow: Callable[[Config], T]) -> Callable[[Config], T]:
    """A flow that its workspace knows of as long as it lasts.

    It waits for a clean-up that is under way, which would take what it publishes for waste.

    Raises:
        ConfigurationError: another configuration makes a data set of the same name otherwise.
    """

    @wraps(flow)
    def known(config: Config) -> T:
        claims = Workspace(config.workspace).claims
        with claims.held(f"{RUNS}/{config.name}-{uuid.uuid4().hex[:12]}"):
            claims.sweep()
            if CLEANING in claims.names():
                with claims.held(CLEANING, patient=True):  # when it has ended, or its owner has
                    pass
            register(config)
            return flow(config)

    return known
