"""What a task is told: plain values that fit into a parameter of a Prefect run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

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


def count_reasons(reasons: Sequence[str]) -> dict[str, int]:
    """How often each kind of reason was given; the kind is the text before a colon."""
    counts = Counter(reason.partition(":")[0] for reason in reasons)
    return dict(sorted(counts.items()))
