"""Statistics of a fit: the moment files of source and target go in, what they add up to comes out.

The source is the distribution of restored images, the target that of natural ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from dot_kernels import GaussianMoments
from dot_kernels.moments import merge
from dot_kernels.rounds import Between
from tasks.config import Config, Run
from tasks.fit.latent_size import levels_of
from tasks.fit.measure import WHOLE
from tasks.fit.measurement_plan import (
    Measure,
    chosen_by_dataset,
    measure_of,
    measured_shards,
    named_without_choice,
)
from tasks.fit.select import Selection
from tasks.io.artifacts.moments import read_moments
from tasks.io.errors import StepMissing
from tasks.io.ledger import fingerprint
from tasks.io.machine.threads import side_by_side
from tasks.io.workspace import Workspace
from tasks.jobs.progress import counted

FEW_IMAGES = 10
"""Up to so many restored images an unpaired map is shrunk, unless the configuration says how far.
Of up to 60 shrunk maps are nearer to the true one, but of 40 the Fréchet distance at alpha 0 is
better as fitted."""

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
    """How far each map is taken toward the identity."""
    levels: tuple[int, ...] = ()
    """Of the decoder, whose activations the operator moves too."""
    level_patch: int = 1
    """Height and width of a patch of activations; has no effect without levels."""
    moved_by: dict[str, str | int] = {}
    """How maps below a level, or of rounds before, move what the next is fitted to, where results
    have a name: so operators that differ in it alone lie side by side, as their results do."""
    further: int = 0
    """Rounds of the operator after the first."""
    between: Between | None = None
    """How each round makes its images for the next; None for one round."""

    @classmethod
    def of(cls, run: Run, selection: Selection) -> "MomentFiles":
        """Return the files with the moments of the selected images' latent patches.

        Raises:
            StepMissing: they have not been measured.
            WeightsMissing: those of the codec are not at hand.
        """
        measure = measure_of(run.config)
        source, target = _digests(run, selection, (measure, measure))
        return cls(
            source=source,
            target=target,
            pairing=selection.pairing,
            shrink=_shrink(run, selection),
            levels=levels_of(run.config),
            level_patch=run.config.transport.level_patch,
            moved_by=_moved_by(run.config),
            further=run.config.reapply,
            between=between_rounds(run.config) if run.config.reapply else None,
        )

    @classmethod
    def of_measures(
        cls, run: Run, selection: Selection, measures: tuple[Measure, Measure]
    ) -> "MomentFiles":
        """Return the files with moments for one map of those after the first of latents.

        Args:
            run: the configuration and its workspace.
            selection: the images.
            measures: what is measured of source and target.

        Raises:
            StepMissing: they have not been measured.
        """
        source, target = _digests(run, selection, measures)
        return cls(
            source=source,
            target=target,
            pairing=selection.pairing,
            shrink=_shrink(run, selection),
        )

    def up_to_round(self, number: int) -> "MomentFiles":
        """Return those of the operator that ends with a round, which others may go on with."""
        between = self.between if number else None
        moved_by = self.moved_by if number or self.levels else {}
        changed = {"further": number, "between": between, "moved_by": moved_by}
        return self.model_copy(update=changed)

    def inputs(self, ridge: float) -> dict[str, Any]:
        """Return what an operator that is fitted to just these files is made from.

        Moments of activations, and of further rounds, follow from the same images, so they need no
        place here.
        """
        levels = {"levels": self.levels, "level_patch": self.level_patch} if self.levels else {}
        sides = {
            side: {named_without_choice(artifact): digest for artifact, digest in files.items()}
            for side, files in (("source", self.source), ("target", self.target))
        }
        return {
            **sides,
            "ridge": ridge,
            **levels,
            **self.moved_by,
            **self.shrinking(),
            **self.repeating(),
        }

    def repeating(self) -> dict[str, Any]:
        """Return how often the method is applied again, and to what; nothing where it is not."""
        if self.between is None:
            return {}
        return {"further_rounds": self.further, "between": asdict(self.between)}

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


def between_rounds(config: Config) -> Between:
    """Return how a round makes its images for the next, where the method is applied again."""
    enhance = config.enhance
    return Between(decoding=enhance.decoding, fold=config.patches.fold, low_band=enhance.low_band)


def _shrink(run: Run, selection: Selection) -> Shrink:
    """Return what ``fit.shrink`` means for this selection."""
    asked = run.config.fit.shrink
    if asked != "auto":
        return asked
    return "auto" if selection.pairing == "unpaired" and selection.images <= FEW_IMAGES else 0.0


def _moved_by(config: Config) -> dict[str, str | int]:
    """Return the options by which maps move what others are fitted to; none without a name."""
    if config.enhance.name is None or not (levels_of(config) or config.reapply):
        return {}
    return {"fold": config.patches.fold, "seed": config.enhance.seed}


def _digests(
    run: Run, selection: Selection, measures: tuple[Measure, Measure]
) -> Iterator[dict[str, str]]:
    """Yield the digests of the moments of source and target, by artifact, in the order of shards.

    Raises:
        StepMissing: those of a shard have not been measured.
    """
    sides = chosen_by_dataset(run.config, selection).items()
    for (dataset, chosen), measure in zip(sides, measures, strict=True):
        digests = dict[str, str]()
        for shard in measured_shards(run, dataset, chosen, measure):
            if shard.digest is None:
                raise StepMissing(
                    f"{shard.artifact} must be finished, but is not; run `dotpipe fit CONFIG` first"
                )
            digests[shard.artifact] = shard.digest
        yield digests


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
