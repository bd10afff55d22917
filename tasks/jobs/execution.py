"""Carrying out a job: a job and the function that does it go in, and its outcome comes out.

The work is claimed first, so that no two runs do it at once, and is not done again if another
run has done it since it was planned.
"""

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
    """Do a job, unless another run has done it since it was planned, or is doing it.

    Returns:
        what the work returns; the state ``found`` or ``busy`` if it was not done here.
    """
    workspace = job.opened()
    with workspace.claims.held(job.claim(), patient=job.patient) as ours:
        if not ours:
            return Outcome(images=0, state="busy")
        if all(_is_made(target, workspace) for target in job.targets()):
            return Outcome(images=0, state="found")
        return work(job)


def settle(job: J, work: Callable[[J], object]) -> None:
    """Do a job that nothing can go on without: if another run is at it, wait for that one.

    What the work raises is noted for ``dotpipe status``, and raised.
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


def note_failure(job: Job, error: BaseException, line: str) -> None:
    """Write down why a job has failed, in a file beside the ledger that a status reads.

    Args:
        job: what was to be made.
        error: what was raised.
        line: the file and line that it comes from, as ``store.py:7``.
    """
    facts = {"error": type(error).__name__, "message": str(error), "place": line}
    with suppress(OSError, DotpipeError):  # the store may be what failed
        for target in job.targets():
            job.opened().ledger.note_failure(target.artifact, target.fingerprint, facts)


def publishing(workspace: Workspace, target: Target) -> AbstractContextManager[Publication]:
    """Publish an artifact when the block ends: files first, record last; see ``Ledger``.

    Args:
        workspace: where.
        target: the artifact, and the fingerprint of what it is made from.
    """
    return workspace.ledger.publishing(target.artifact, target.fingerprint, target.inputs)


def _is_made(target: Target, workspace: Workspace) -> bool:
    records = workspace.ledger.records(target.artifact)
    if [record.fingerprint for record in records] != [target.fingerprint]:
        return False
    return target.again is None or records[0].digest != target.again
