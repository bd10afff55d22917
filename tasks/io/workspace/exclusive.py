"""Runs and clean-ups of one workspace keep out of each other's way."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.io.errors import StepMissing
from tasks.io.workspace.workspace import Workspace

CLEANING = "cleaning"
"""Claim of whoever removes things; runs wait while it is held."""


RUNS = "runs"
"""Folder of the claims that runs hold as long as they last."""


@contextmanager
def alone(workspace: Workspace) -> Iterator[None]:
    """No run is at work on the workspace while the block runs; those that come wait.

    Raises:
        StepMissing: one is at work.
    """
    claims = workspace.claims
    with claims.held(CLEANING) as ours:
        others = sorted(set(claims.alive()) - {CLEANING})
        if not ours or others:
            raise StepMissing(
                "no run must be at work on the workspace, but "
                f"{others[0] if others else CLEANING} is claimed; wait for it to end"
            )
        yield
