"""Liveness of a run that a worker has taken: whether the run can still end by itself."""

import time

from prefect.client.schemas.objects import FlowRun, StateType

from flows.runs.presence import presence
from tasks.config import Config
from tasks.io.errors import StoreRefused
from tasks.io.workspace import Workspace

_SILENCE_S = 30.0
"""Seconds after which a run that is RUNNING without a claim is taken to have lost its worker."""

NOT_BEGUN = "its worker took it and did not begin"


class Liveness:
    """Judges from one look to the next whether a run that is under way has lost its worker.

    A run that is RUNNING renews a claim in its workspace. A run is dead if it has held no
    claim for half a minute, or if it has been PENDING for longer than ``blocks.patience_s``.
    While the claims cannot be read, no RUNNING run counts as dead.

    Args:
        config: the configuration of the run.
        from_afar: the caller's machine may have another folder under the workspace's name.
            Then only a claim that has been seen before can be missing, and PENDING runs are
            never given up.
    """

    def __init__(self, config: Config, *, from_afar: bool = False) -> None:
        self._config, self._claims = config, Workspace(config.workspace).claims
        self._from_afar, self._was_seen = from_afar, False
        self._state: StateType | None = None
        self._since = 0.0
        self._silent_since: float | None = None

    def why_dead(self, run: FlowRun) -> str | None:
        """Why the run will not end by itself, or None if it may.

        Args:
            run: the run as the server knows it at this moment.
        """
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
        except (OSError, StoreRefused):  # the store is away, or refuses this machine
            return False
        self._was_seen |= not silent
        return silent and (self._was_seen or not self._from_afar)
