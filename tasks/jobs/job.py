"""What a task is told and reports: plain values that fit into a parameter of a Prefect run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from tasks.io.workspace import Workspace

Line = tuple[str, str, str]
"""A record of the ledger as a plain tuple: artifact, fingerprint and digest."""


class Target(BaseModel):
    """An artifact that is to be made, because there is none from these inputs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifact: str
    """Its name: the path of its files below the workspace, without their ending."""
    fingerprint: str
    inputs: dict[str, Any] = {}
    """The inputs that the fingerprint was taken of; long values as digests."""
    replaces: bool = False
    """Whether it has been made before, from other inputs or as it is to be made again."""
    again: str | None = None
    """The digest that it has, made from the same inputs, where it is to be made again, as files
    can be read now that could not; else None."""


class Subject(NamedTuple):
    """The shard that a job is about, and the operator and alphas that it is enhanced with."""

    dataset: str
    shard: str
    operator: str | None = None
    alphas: tuple[float, ...] = ()


class Job(BaseModel):
    """All that one task needs to know for its work.

    Jobs of each kind have their own fields; those of type ``Target`` are what the job makes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace: str
    """Folder or bucket."""
    patient: bool = False
    """Whether to wait for another run that is at this work; if not, the outcome is ``busy``."""

    def opened(self) -> Workspace:
        """Return the workspace, opened."""
        return Workspace(self.workspace)

    def targets(self) -> list[Target]:
        """Return the artifacts that the job makes."""
        return [value for value in self.__dict__.values() if isinstance(value, Target)]

    def claim(self) -> str:
        """Return the name that is claimed while the job is done.

        Jobs that write the same files have the same name.
        """
        return self.targets()[0].artifact

    def only_measures(self) -> bool:
        """Return whether it makes no images, but measures those that are written already."""
        return False

    def subject(self) -> Subject | None:
        """Return the shard that it makes or reads; None if it is about none or several."""
        return None


class Planned(NamedTuple):
    """One unit of a step, and its job unless it is done."""

    unit: str
    """Its name, such as that of a shard; empty if the step makes one thing only."""
    images: int
    """How many images it has; 0 if it is not about images."""
    job: Job | None
    """What is still to be done; None if nothing is."""
    artifacts: tuple[str, ...] = ()
    """Names of all artifacts that it consists of, done or not."""
    fingerprint: str = ""
    """Of a data set's shard, and of features that are added up: that of its inputs. Of a shard to
    be enhanced: the digest of its images. Otherwise empty."""


class Outcome(BaseModel):
    """What a task reports of its work."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: int
    """How many images went through, refused ones included."""
    refused: dict[str, int] = {}
    """How many images were refused, by kind of reason."""
    remarks: dict[str, int] = {}
    """What was out of the ordinary: to how many images the batch was reduced for want of memory
    (``batch_reduced_to``), how many images were encoded ``again_in_float32``."""
    seams: dict[str, float] = {}
    """How much decoded tiles that were blended differed where they overlap, in 8-bit levels:
    ``rms``, ``largest``, and the ``count`` of values; empty where none were blended."""
    state: Literal["made", "found", "busy"] = "made"
    """``made`` by this task; ``found``, as another run had made it; ``busy``: another is at it."""
    seconds: dict[str, float] = {}
    """Seconds that each lap of ``Stopwatch`` took; they add up to the whole time."""
    device: str | None = None
    """Name of the device that the networks ran on; None if there was none."""

    def __add__(self, other: "Outcome") -> "Outcome":
        """Return the outcome of both of two parts of the work on the same images."""
        laps = self.seconds.keys() | other.seconds.keys()
        spent = {lap: self.seconds.get(lap, 0.0) + other.seconds.get(lap, 0.0) for lap in laps}
        both = {"remarks": self.remarks | other.remarks, "seconds": spent}
        return other.model_copy(update=both)

    @property
    def rate(self) -> float:
        """Images per second; 0 if no time was taken."""
        spent = sum(self.seconds.values())
        return self.images / spent if spent > 0 else 0.0

    def facts(self) -> dict[str, Any]:
        """Return what a record keeps of it: images, refused, seams and remarks."""
        seams = {"seams": self.seams} if self.seams else {}
        return {"images": self.images, "refused": self.refused, **seams, **self.remarks}


def count_reasons(reasons: Sequence[str]) -> dict[str, int]:
    """Return how often each kind of reason was given; a kind is a reason up to its first colon."""
    counts = Counter(reason.partition(":")[0] for reason in reasons)
    return dict(sorted(counts.items()))
