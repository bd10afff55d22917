"""Both sides of a fit: the files that their moments lie in, and what these add up to."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge
from tasks.config import Run
from tasks.fit.measure import WHOLE, measure_name
from tasks.fit.select import Selection
from tasks.io.artifacts.moments import read_moments
from tasks.io.ledger import fingerprint
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import Workspace, moments_folder
from tasks.jobs import finished_digest


class Sides(BaseModel):
    """The moment files of both sides with their digests, in the order of shards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: dict[str, str]
    target: dict[str, str]
    pairing: Literal["paired", "unpaired"]

    @classmethod
    def of(cls, run: Run, selection: Selection) -> "Sides":
        """The files with the moments of the chosen images.

        Raises:
            StepMissing: they have not been measured.
        """
        return cls(
            source=_files(run, run.config.source_name, selection.source),
            target=_files(run, run.config.natural_name, selection.target),
            pairing=selection.pairing,
        )

    def inputs(self, ridge: float) -> dict[str, Any]:
        """What an operator that is fitted on just these is made from."""
        return {"source": self.source, "target": self.target, "ridge": ridge}

    def operator(self, ridge: float) -> str:
        """The name of that operator."""
        return fingerprint("reduce", self.inputs(ridge))[:16]

    def read(self, workspace: Workspace) -> "tuple[Side, Side]":
        """What the files of source and target add up to; of pairs, only whole ones."""
        source, target = (_added_up(files, workspace) for files in (self.source, self.target))
        return _complete_pairs(source, target) if self.pairing == "paired" else (source, target)


class Side(NamedTuple):
    """The moments of one side, and those of its images by key if they were kept."""

    whole: GaussianMoments
    images: dict[str, GaussianMoments]


def _files(run: Run, dataset: str, chosen: dict[str, list[str]]) -> dict[str, str]:
    folder = moments_folder(dataset, measure_name(run.config))
    survey = run.workspace.ledger.survey(folder)
    return {
        f"{folder}/{shard}": finished_digest(survey, f"{folder}/{shard}", "fit") for shard in chosen
    }


def _added_up(artifacts: dict[str, str], workspace: Workspace) -> Side:
    """Merge the moment files of one side in the order of shards, a few in memory at a time."""
    images = dict[str, GaussianMoments]()
    paths = (f"{artifact}.safetensors" for artifact in artifacts)

    def wholes() -> Iterator[GaussianMoments]:
        for parts in side_by_side(partial(read_moments, workspace.store), paths):
            yield parts.pop(WHOLE)
            images.update(parts)

    return Side(merge(wholes()), images)


def _complete_pairs(source: Side, target: Side) -> tuple[Side, Side]:
    """Both sides without the images that were refused on the other one."""
    shared = [key for key in source.images if key in target.images]
    if not shared or len(shared) == len(source.images) == len(target.images):
        return source, target
    source_images, target_images = (
        {key: side.images[key] for key in shared} for side in (source, target)
    )
    return (
        Side(merge(source_images.values()), source_images),
        Side(merge(target_images.values()), target_images),
    )
