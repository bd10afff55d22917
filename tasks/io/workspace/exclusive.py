"""Keeping runs and clean-ups of one workspace apart, by claims."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from tasks.io.errors import StepMissing, WorkspaceBusy
from tasks.io.workspace.layout import COMPACTING
from tasks.io.workspace.workspace import Workspace

CLEANING = "cleaning"
"""Name of the claim that a clean-up holds; runs wait while there is one."""


RUNS = "runs"
"""Folder of the claims that runs hold as long as they last, by their names."""


@contextmanager
def alone(workspace: Workspace, beside: Collection[str] = ()) -> Iterator[None]:
    """Hold the claim of a clean-up during the block, in which no run is at work.

    Runs that begin meanwhile wait for its end. Half-written files of processes that have ended
    are removed first.

    Args:
        workspace: where.
        beside: names of the claims of the run that cleans up, which do not count.

    Raises:
        WorkspaceBusy: another run, or another clean-up, is at work.
    """
    claims = workspace.claims
    with claims.held(CLEANING) as ours:
        others = sorted(set(claims.alive()) - {CLEANING, *beside})
        if not ours or others:
            raise WorkspaceBusy(
                "no run must be at work on the workspace, but "
                f"{others[0] if others else CLEANING} is claimed; wait for it to end"
            )
        workspace.store.sweep()
        yield


def unended_compaction(workspace: Workspace) -> str:
    """Return a sentence on a compaction that has not ended; empty if there is none.

    It may be at work, or was cut short; what it changes of indexes makes a run look unfinished.
    """
    if not workspace.store.exists(COMPACTING):
        return ""
    return (
        f"a compaction of the workspace has begun and not ended ({COMPACTING} is there); unless "
        "one is at work now, it was cut short, and `dotpipe compact CONFIG` goes on with it"
    )


@contextmanager
def compaction_told(workspace: Workspace) -> Iterator[None]:
    """Where the block misses a step, have the error say if a compaction has not ended.

    Raises:
        StepMissing: the block raised it.
    """
    try:
        yield
    except StepMissing as error:
        told = str(error)
        note = "" if COMPACTING in told else unended_compaction(workspace)
        if not note:
            raise
        raise type(error)(f"{told}; or {note}") from error


def require_no_compaction(workspace: Workspace) -> None:
    """Check that no merged shard may hold images beside those that the indexes name.

    Raises:
        StepMissing: a compaction was cut short, which may have left some.
    """
    if workspace.store.exists(COMPACTING):
        raise StepMissing(
            f"a compaction must be ended before images are forgotten, but {COMPACTING} says that "
            "one was cut short; run `dotpipe compact CONFIG` first"
        )
