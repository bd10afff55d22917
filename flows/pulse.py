"""The pulse of a run that a worker has taken: whether it will end by itself."""

import time

from prefect.client.schemas.objects import FlowRun, StateType

from flows.presence import presence
from tasks.config import Config
from tasks.io.workspace import Workspace

_SILENCE_S = 30.0
"""A run that says it is running, and holds no claim for so long, has lost its worker."""


class Pulse:
    """Tells whether a run that is under way has lost its worker.

    A run that says it is running holds a claim in the workspace.
    """

    def __init__(self, config: Config) -> None:
        self._config, self._claims = config, Workspace(config.workspace).claims
        self._state: StateType | None = None
        self._since = 0.0
        self._silent_since: float | None = None

    def complaint(self, run: FlowRun) -> str | None:
        """Why the run, as it is now, will not end by itself; None if it may."""
        now, state = time.monotonic(), run.state_type
        if state != self._state:
            self._state, self._since, self._silent_since = state, now, None
        if state == StateType.PENDING and now - self._since > self._config.blocks.patience_s:
            return "its worker took it and did not begin"
        if state != StateType.RUNNING:
            return None
        if not self._claims.is_silent(presence(self._config, run.id)):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENCE_S:
            return "its worker died, or sees another workspace: it holds no claim there"
        return None
