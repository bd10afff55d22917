"""Carrying out a job: claimed, unless it has been done meanwhile; its failures noted."""

from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

from tasks.io.errors import DotpipeError, place_of
from tasks.io.ledger import Publication
from tasks.io.workspace import Workspace
from tasks.jobs.job import Job, Outcome, Target

J = TypeVar("J", bound=Job)


def carry_out(job: J, work: Callable[[J], Outcome]) -> Outcome:
    """Do a job, unless another run has done it since it was planned, or is doing it."""
    workspace = job.opened()
    with workspace.claims.held(job.claim(), patient=job.patient) as ours:
        if not ours:
            return Outcome(images=0, state="busy")
        if all(_is_made(target, workspace) for target in job.targets()):
            return Outcome(images=0, state="found")
        return work(job)


def settle(job: J, work: Callable[[J], object]) -> None:
    """Do a job that nothing can go on without: wait for a run that is at it.

    A failure is noted for whoever asks for the status.
    """
    with job.opened().claims.held(job.claim(), patient=True):
        if all(_is_made(target, job.opened()) for target in job.targets()):
            return
        try:
            work(job)
        except CancelledError:
            raise
        except Exception as error:
            note_failure(job, error, place_of(error))
            raise


def note_failure(job: Job, error: BaseException, place: str) -> None:
    """Leave a note of what failed beside the ledger, for whoever asks for the status."""
    facts = {"error": type(error).__name__, "message": str(error), "place": place}
    with suppress(OSError, DotpipeError):  # the store may be what failed
        for target in job.targets():
            job.opened().ledger.note_failure(target.artifact, target.fingerprint, facts)


def publishing(workspace: Workspace, target: Target) -> AbstractContextManager[Publication]:
    """Publish an artifact at its target: files first, record last; see ``Ledger``."""
    return workspace.ledger.publishing(target.artifact, target.fingerprint, target.inputs)


def _is_made(target: Target, workspace: Workspace) -> bool:
    records = workspace.ledger.records(target.artifact)
    return [record.fingerprint for record in records] == [target.fingerprint]
