"""The pulse of a run that a worker has taken: whether it will end by itself."""

import time

from prefect.client.schemas.objects import FlowRun, StateType

from flows.runs.presence import presence
from tasks.config import Config
from tasks.io.errors import StoreRefused
from tasks.io.workspace import Workspace

_SILENCE_S = 30.0
"""A run that says it is running, and holds no claim for so long, has lost its worker."""


NOT_BEGUN = "its worker took it and did not begin"


class Liveness:
    """Tells whether a run that is under way has lost its worker.

    A run that says it is running holds a claim in the workspace. Where that cannot be looked
    at, nobody knows.

    Args:
        config: of the run.
        from_afar: whoever asks may see another workspace under this name, so that only a claim
            that was there can be missing; and nobody waits for the run to begin.
    """

    def __init__(self, config: Config, *, from_afar: bool = False) -> None:
        self._config, self._claims = config, Workspace(config.workspace).claims
        self._from_afar, self._was_seen = from_afar, False
        self._state: StateType | None = None
        self._since = 0.0
        self._silent_since: float | None = None

    def complaint(self, run: FlowRun) -> str | None:
        """Why the run, as it is now, will not end by itself; None if it may."""
        now, state = time.monotonic(), run.state_type
        if state != self._state:
            self._state, self._since, self._silent_since = state, now, None
        waited = state == StateType.PENDING and not self._from_afar
        if waited and now - self._since > self._config.blocks.patience_s:
            return NOT_BEGUN
        if state != StateType.RUNNING:
            return None
        if not self._is_silent(run):
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > _SILENCE_S:
            return "its worker died, or sees another workspace: it holds no claim there"
        return None

    def _is_silent(self, run: FlowRun) -> bool:
        """Whether the run holds no claim where it must hold one."""
        try:
            silent = self._claims.is_silent(presence(self._config, run.id))
        except (OSError, StoreRefused):  # the store is away, or not for us
            return False
        self._was_seen |= not silent
        return silent and (self._was_seen or not self._from_afar)
