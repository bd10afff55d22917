"""Send a shard to the Hub: its files go up one artifact after the other, and are not visible yet.

A record of the workspace then says what was sent, so that a push which is taken up again sends
nothing twice. The last step of the push, one commit, makes all of it visible.
"""

from contextlib import ExitStack
from pathlib import Path

from prefect import task

from tasks.io.errors import ArtifactDamaged
from tasks.io.hub import Repository
from tasks.io.hub.files import require_content
from tasks.io.ledger import Record
from tasks.io.workspace import Workspace
from tasks.jobs import Job, Line, Outcome, Subject, Target, carry_out, publishing
from tasks.jobs.policy import SHARD_POLICY
from tasks.jobs.progress import advance
from tasks.push.contents import File, files_of


class SendJob(Job):
    """Names artifacts of a shard whose files the Hub may lack."""

    target: Target
    """The record of what was sent."""
    address: str
    """The repository."""
    dataset: str
    shard: str
    images: int
    lines: tuple[Line, ...]
    """Records of the artifacts."""

    def subject(self) -> Subject:
        """Return the shard."""
        return Subject(self.dataset, self.shard)


@task(name="push", task_run_name="push {job.dataset} {job.shard}", **SHARD_POLICY)
def send_shard(job: SendJob) -> Outcome:
    """Send what the Hub lacks of a shard; safe to repeat."""
    return carry_out(job, send_files)


def send_files(job: SendJob) -> Outcome:
    """Send the files of a job's artifacts, and write down what was sent.

    Raises:
        ArtifactDamaged: a file is not what its record tells.
    """
    workspace, repository = job.opened(), Repository.of(job.address)
    sent = dict[str, list[object]]()
    for line in job.lines:
        files = files_of(workspace.ledger, Record(*line))
        sent |= _send(workspace, repository, files)
    with publishing(workspace, job.target) as publication:
        publication.facts["sent"] = sent
    advance(job.images)
    return Outcome(images=job.images)


def _send(
    workspace: Workspace, repository: Repository, files: list[File]
) -> dict[str, list[object]]:
    """Send files of one artifact; return what the Hub has by their paths there, as a record."""
    with ExitStack() as stack:
        copies = {file.path: _fetched(workspace, file, stack) for file in files}
        found = repository.send(copies)
    for file in files:
        require_content(found[file.path], file.size, file.sha256, file.source)
    return {path: list(sent) for path, sent in found.items()}


def _fetched(workspace: Workspace, file: File, stack: ExitStack) -> Path:
    """Return a file of the workspace on this machine's disk, until the stack is closed.

    Raises:
        ArtifactDamaged: it is not there.
    """
    try:
        copy = stack.enter_context(workspace.store.fetched(file.source))
    except FileNotFoundError:
        copy = None
    if copy is None or not copy.is_file():
        raise ArtifactDamaged(
            f"{file.source} must be there, but is not; run `dotpipe repair CONFIG`"
        )
    return copy
