"""What the tasks of a training are told: all that decides what a step draws and computes."""

from typing import Literal

from dot_kernels.degradations import Degradation
from tasks.config.compute import Compute
from tasks.io.images import Limits
from tasks.io.networks.residual_transport.section import Training
from tasks.io.networks.undoing import OneDegradation
from tasks.io.workspace import restorer_folder
from tasks.jobs import Job, Target


class TrainJob(Job):
    """Train a restorer for one segment of its steps."""

    target: Target
    dataset: str
    """Name of the data set that the restorer is to make."""
    recipe: str
    """Names what it is trained on, and how, in the folder of its checkpoints."""
    number: int
    """Of the segment, from 0 on."""
    train: Training
    pairing: Literal["paired", "unpaired"]
    clean: str
    """Name of the data set of clean images."""
    degraded: str | None
    """Name of that of degraded ones; None where clean crops are degraded."""
    degrade: tuple[OneDegradation, ...]
    """What clean crops go through; none where there are degraded images."""
    undoes: tuple[OneDegradation, ...]
    """What degraded images went through, as far as it is said."""
    limits: Limits
    compute: Compute

    @property
    def undone(self) -> tuple[Degradation, ...]:
        """What the restorer undoes, as far as it is known."""
        return self.degrade or self.undoes

    @property
    def is_paired(self) -> bool:
        """Whether degraded crops come with their clean ones."""
        return self.pairing == "paired"

    @property
    def steps(self) -> range:
        """The numbers of the segment's steps."""
        first = self.number * self.train.segment
        return range(first, first + self.train.segment)

    def artifact(self, number: int | None = None) -> str:
        """Return the artifact of a segment, by default this one's."""
        own = self.number if number is None else number
        return segment_artifact(self.dataset, self.recipe, own)


def segment_artifact(dataset: str, recipe: str, number: int) -> str:
    """Return the artifact, a path without endings, of a segment: its checkpoint and its table."""
    return f"{restorer_folder(dataset, recipe)}/segment-{number:06d}"


def restorer_artifact(dataset: str, recipe: str) -> str:
    """Return the artifact of the weights that restore, and of the table of the training."""
    return f"{restorer_folder(dataset, recipe)}/restorer"
