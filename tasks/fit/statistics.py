"""Statistics of a fit: the moment files of source and target go in, what they add up to comes out.

The source is the distribution of restored images, the target that of natural ones.
"""

from collections.abc import Iterator, Mapping
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
from tasks.jobs.progress import counted

FEW_IMAGES = 100
"""Up to so many restored images an unpaired map is shrunk, unless the configuration says how far.
With more, halves agree so well that less than 3 % of a map is taken back."""

Shrink = Literal["auto"] | float
"""How far a map is taken toward the identity; auto: cross-validated."""


class Statistics(NamedTuple):
    """The moments of the latent patches of source or target."""

    whole: GaussianMoments
    """Moments of all images together."""
    images: dict[str, GaussianMoments]
    """Moments of each image by its key; empty if these were not kept."""


class MomentFiles(BaseModel):
    """The files that hold the moments of source and target."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: dict[str, str]
    """Digests of the source's artifacts by their names, in the order of shards."""
    target: dict[str, str]
    """Digests of the target's artifacts by their names, in the order of shards."""
    pairing: Literal["paired", "unpaired"]
    shrink: Shrink = 0.0

    @classmethod
    def of(cls, run: Run, selection: Selection) -> "MomentFiles":
        """Return the files with the moments of the selected images.

        Raises:
            StepMissing: they have not been measured.
        """
        return cls(
            source=_digests(run, run.config.source_name, selection.source),
            target=_digests(run, run.config.natural_name, selection.target),
            pairing=selection.pairing,
            shrink=_shrink(run, selection),
        )

    def inputs(self, ridge: float) -> dict[str, Any]:
        """Return what an operator that is fitted to just these files is made from."""
        made_from = {"source": self.source, "target": self.target, "ridge": ridge}
        return made_from | self.shrinking()

    def shrinking(self) -> dict[str, Shrink]:
        """Return how far the map is shrunk, as an input by its name; none where it is not."""
        return {"shrink": self.shrink} if self.shrink else {}

    def operator(self, ridge: float) -> str:
        """Return the name of that operator: 16 hex digits."""
        return fingerprint("reduce", self.inputs(ridge))[:16]

    def read(self, workspace: Workspace) -> tuple[Statistics, Statistics]:
        """Return the statistics of source and target.

        Of a paired fit, images that were refused in one of the two are left out of both, where
        moments were kept image by image.
        """
        source, target = (_added_up(files, workspace) for files in (self.source, self.target))
        return _complete_pairs(source, target) if self.pairing == "paired" else (source, target)


def _shrink(run: Run, selection: Selection) -> Shrink:
    """Return what ``fit.shrink`` means for this selection."""
    asked = run.config.fit.shrink
    if asked != "auto":
        return asked
    return "auto" if selection.pairing == "unpaired" and selection.images <= FEW_IMAGES else 0.0


def _digests(run: Run, dataset: str, selected: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the digests of the moments of a data set's shards, by artifact.

    Raises:
        StepMissing: those of a shard have not been measured.
    """
    folder = moments_folder(dataset, measure_name(run.config))
    survey = run.workspace.ledger.survey(folder)
    artifacts = [f"{folder}/{shard}" for shard in selected]
    return {artifact: finished_digest(survey, artifact, "fit") for artifact in artifacts}


def _added_up(artifacts: Mapping[str, str], workspace: Workspace) -> Statistics:
    """Merge moment files in the order of shards, a few of them in memory at a time."""
    images = dict[str, GaussianMoments]()
    named = counted("moments of shard", list(artifacts))
    paths = (f"{artifact}.safetensors" for artifact in named)

    def wholes() -> Iterator[GaussianMoments]:
        for parts in side_by_side(partial(read_moments, workspace.store), paths):
            yield parts.pop(WHOLE)
            images.update(parts)

    return Statistics(merge(wholes()), images)


def _complete_pairs(source: Statistics, target: Statistics) -> tuple[Statistics, Statistics]:
    """Return both without the images that were refused in the other one."""
    shared = [key for key in source.images if key in target.images]
    if not shared or len(shared) == len(source.images) == len(target.images):
        return source, target
    source_images, target_images = (
        {key: each.images[key] for key in shared} for each in (source, target)
    )
    return (
        Statistics(merge(source_images.values()), source_images),
        Statistics(merge(target_images.values()), target_images),
    )
