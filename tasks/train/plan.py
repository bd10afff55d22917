"""The plan of a training: which segments are missing, and the trained map that restores."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tasks.config import Config, Run
from tasks.io.errors import StepMissing
from tasks.io.ledger import Survey, fingerprint
from tasks.io.networks.residual_transport.restorer import TrainedMap
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.workspace import dataset_folder, restorer_folder
from tasks.jobs import Planned, Recipe, Target, aim, finished_digest
from tasks.train.finish import FinishJob
from tasks.train.job import TrainJob, restorer_artifact, segment_artifact

_OF_NO_EFFECT = {"steps", "keep_every", "processes"}
"""Options that do not change what a step computes."""


class PlannedTraining(NamedTuple):
    """What a configuration trains, where its data sets are there."""

    run: Run
    spec: ResidualTransport
    clean: str
    """Name of the data set of clean images."""
    inputs: dict[str, Any]
    """What the training is made from, and how."""
    recipe: str
    """Names these in folders."""
    survey: Survey
    """Of the records of its folder."""

    @classmethod
    def of(cls, run: Run) -> "PlannedTraining | None":
        """Return what a configuration trains; None if it trains nothing.

        Raises:
            StepMissing: the data sets to train on are not finished.
        """
        config, spec, ledger = run.config, run.config.restore, run.workspace.ledger
        if not isinstance(spec, ResidualTransport) or config.clean_name is None:
            return None
        sides = {"clean": config.clean_name, "degraded": config.degraded_name}
        folders = {side: dataset_folder(name) for side, name in sides.items() if name}
        digests = {
            f"{side} images": finished_digest(ledger.survey(folder), f"{folder}/index")
            for side, folder in folders.items()
        }
        inputs = {
            **spec.train.model_dump(exclude=_OF_NO_EFFECT),
            **digests,
            "pairing": pairing_of(config),
            "degradations": repr(config.undone),
        }
        recipe = fingerprint("train", inputs)[:16]
        survey = ledger.survey(restorer_folder(config.restored_name, recipe))
        return cls(run, spec, config.clean_name, inputs, recipe, survey)

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return self.spec.train.steps // self.spec.train.segment

    def artifact(self, number: int) -> str:
        """Return the artifact of a segment."""
        return segment_artifact(self.run.config.restored_name, self.recipe, number)

    def planned(self) -> Iterator[Planned]:
        """Yield the unit of every segment, without a job if it is done."""
        images, before = self.spec.train.segment * self.spec.train.batch, ""
        for number in range(self.segments):
            recipe = Recipe("train", {**self.inputs, "number": number, "before": before})
            target, before = recipe.aim(self.survey, self.artifact(number)), recipe.mark()
            job = None if target is None else self.job(number, target)
            yield Planned(f"segment {number}", images, job, (self.artifact(number),))

    def job(self, number: int, target: Target) -> TrainJob:
        """Return the job of a segment."""
        config = self.run.config
        return TrainJob(
            workspace=self.run.workspace.url,
            patient=True,
            target=target,
            dataset=config.restored_name,
            recipe=self.recipe,
            number=number,
            train=self.spec.train,
            pairing=pairing_of(config),
            clean=self.clean,
            degraded=config.degraded_name,
            degrade=config.degrade,
            undoes=self.spec.undoes,
            limits=config.shards.limits(),
            compute=config.compute,
        )


def plan_segments(run: Run) -> list[Planned]:
    """Return a unit for every segment, in their order; done ones have no job.

    Each is fingerprinted by the recipe and by the fingerprint of the checkpoint before it, so all
    are known before the first is made. Which bytes that checkpoint had is in its record.

    Raises:
        StepMissing: the data sets to train on are not finished.
    """
    found = PlannedTraining.of(run)
    return [] if found is None else list(found.planned())


def plan_restorer(run: Run) -> tuple[str, FinishJob | None]:
    """Return the artifact of the weights that restore, and the job that writes it; None if done.

    Raises:
        StepMissing: a segment of the training is not done.
    """
    found = PlannedTraining.of(run)
    if found is None or any(unit.job is not None for unit in found.planned()):
        raise _missing()
    artifact = restorer_artifact(run.config.restored_name, found.recipe)
    segments = tuple(map(found.artifact, range(found.segments)))
    last = finished_digest(found.survey, segments[-1], "train")
    target = aim(found.survey, artifact, "keep", {"checkpoint": last})
    if target is None:
        return artifact, None
    job = FinishJob(
        workspace=run.workspace.url,
        target=target,
        segments=segments,
        after=found.job(found.segments, target),
    )
    return artifact, job


def trained_map(run: Run) -> TrainedMap:
    """Return the trained map of a configuration.

    Raises:
        StepMissing: it is not trained to its end.
    """
    artifact, job = plan_restorer(run)
    if job is not None:
        raise _missing()
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
    return TrainedMap(artifact=artifact, digest=finished_digest(survey, artifact, "train"))


def pairing_of(config: Config) -> Literal["paired", "unpaired"]:
    """Return how a restorer is trained: by default in pairs where clean images are degraded."""
    spec = config.restore
    given = spec.train.pairing if isinstance(spec, ResidualTransport) else "auto"
    if given == "auto":
        return "paired" if config.degrade else "unpaired"
    return given


def _missing() -> StepMissing:
    return StepMissing(
        "the restorer must be trained, but is not, or not to its end; run `dotpipe train CONFIG` "
        "first"
    )
