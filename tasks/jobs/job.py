"""What a task is told: plain values that fit into a parameter of a Prefect run."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ConfigDict

from tasks.io.errors import DotpipeError, StepMissing
from tasks.io.ledger import Publication, Survey, fingerprint, summarised
from tasks.io.places import place_of
from tasks.io.workspace import Workspace

Line = tuple[str, str, str]
"""A record of the ledger as a plain tuple, which a parameter can hold."""


class Target(BaseModel):
    """An artifact to make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifact: str
    fingerprint: str
    inputs: dict[str, Any] = {}
    """What the fingerprint was taken of; long values as digests."""
    replaces: bool = False
    """Whether it has been made before, from other inputs."""


class Subject(NamedTuple):
    """The shard that a job is about; its operator and alphas, where those matter."""

    dataset: str
    shard: str
    operator: str | None = None
    alphas: tuple[float, ...] = ()


class Job(BaseModel):
    """One task's work; everything it needs, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: str
    patient: bool = False
    """Whether to wait for another run that is at this work, rather than to come back."""

    def opened(self) -> Workspace:
        """The workspace."""
        return Workspace(self.workspace)

    def targets(self) -> list[Target]:
        """The artifacts that the job makes."""
        return [value for value in self.__dict__.values() if isinstance(value, Target)]

    def claim(self) -> str:
        """What is claimed while the job is done; jobs that write the same files share it."""
        return self.targets()[0].artifact

    def subject(self) -> Subject | None:
        """The shard that it makes or reads; None where it is about none or all of them."""
        return None


J = TypeVar("J", bound=Job)


class Planned(NamedTuple):
    """One unit of a step, and its job unless it is done.

    ``images`` is how many it has; ``artifacts`` names what it consists of, done or not;
    ``fingerprint`` is that of a data set's shard, as it is or will be; of a shard to be
    enhanced, the digest of its images.
    """

    unit: str
    images: int
    job: Job | None
    artifacts: tuple[str, ...] = ()
    fingerprint: str = ""


class Outcome(BaseModel):
    """What a task reports: how many images went through, and which were refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int
    refused: dict[str, int] = {}
    remarks: dict[str, int] = {}
    """What was out of the ordinary: ``batch_reduced_to`` so many images, for want of memory;
    so many images ``again_in_float32``."""
    state: Literal["made", "found", "busy"] = "made"
    """Made by this task; found made by another run; or another run is at it."""
    seconds: dict[str, float] = {}
    """Where the time went, by lap of ``Stopwatch``; no lap holds another's time."""
    device: str | None = None
    """What the networks ran on; None where there was none."""

    @property
    def rate(self) -> float:
        """Images per second; 0 where nobody looked at the clock."""
        spent = sum(self.seconds.values())
        return self.images / spent if spent > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {"images": self.images, "refused": self.refused, **self.remarks}


class Recipe:
    """A step with the inputs that all its shards share, digested once for all of them."""

    def __init__(self, step: str, shared: Mapping[str, Any]) -> None:
        self._shared = dict(shared)
        self._start = hashlib.sha256(fingerprint(step, self._shared).encode())

    def mark(self, **own: Any) -> str:
        """The fingerprint with a shard's own inputs too."""
        key = self._start.copy()
        key.update(repr(sorted(own.items())).encode("utf-8", "surrogatepass"))
        return key.hexdigest()[:32]

    def aim(self, survey: Survey, artifact: str, **own: Any) -> Target | None:
        """The target with a shard's own inputs too, or None if it has been made from them."""
        mark = self.mark(**own)
        if survey.digest(artifact, mark) is not None:
            return None
        return Target(
            artifact=artifact,
            fingerprint=mark,
            inputs=summarised(self._shared | own),
            replaces=bool(survey.records(artifact)),
        )


def aim(survey: Survey, artifact: str, step: str, inputs: Mapping[str, Any]) -> Target | None:
    """The target of a step with these inputs, or None if it has been made from them."""
    return Recipe(step, inputs).aim(survey, artifact)


def finished_digest(survey: Survey, artifact: str, verb: str = "shard") -> str:
    """The digest of a finished artifact; ``verb`` is the command that makes it.

    Raises:
        StepMissing: it has no record.
    """
    records = survey.records(artifact)
    if not records:
        raise StepMissing(
            f"{artifact} must be finished, but is not; run `dotpipe {verb} CONFIG` first"
        )
    return records[-1].digest


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


def generator_of(purpose: str, seed: int, key: str) -> torch.Generator:
    """Randomness that belongs to one image, whichever shard and run it is in."""
    digest = hashlib.sha256(f"{purpose}\0{seed}\0{key}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def count_reasons(reasons: Sequence[str]) -> dict[str, int]:
    """How often each kind of reason was given; the kind is the text before a colon."""
    counts = Counter(reason.partition(":")[0] for reason in reasons)
    return dict(sorted(counts.items()))
