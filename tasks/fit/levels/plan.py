"""The plan of a level: whose moments of activations are missing, and whether its map is solved."""

from typing import NamedTuple

from tasks.config import Run
from tasks.fit.decision import recipe_digest
from tasks.fit.latent_size import levels_of
from tasks.fit.levels.solve import SolveLevelJob
from tasks.fit.measure import Met
from tasks.fit.measurement_plan import (
    Measure,
    chosen_by_dataset,
    encoding_of,
    measure_name,
    plan_measurement,
)
from tasks.fit.reduce import adds_noise, fitted_on
from tasks.fit.rounds.plan import Ended, plan_round
from tasks.fit.select import Selection, chosen_images
from tasks.fit.statistics import MomentFiles
from tasks.io.errors import StepMissing
from tasks.io.ledger import fingerprint
from tasks.io.workspace import operator_artifact, unfinished_operator
from tasks.jobs import Planned, aim, finished_digest


def plan_level_measurement(run: Run, level: int, number: int = 0) -> list[Planned]:
    """Return a unit for every shard whose images show activations; done ones have no job.

    Args:
        run: the configuration and its workspace.
        level: of the decoder; there are no units if its map is not wanted, or not solved anew.
        number: of the round.

    Raises:
        StepMissing: images are not chosen, or the maps below are not solved.
    """
    selection = chosen_images(run)
    place = _Place.of(run, selection, level, number)
    if place is None:
        return []
    sides = chosen_by_dataset(run.config, selection).items()
    return [
        unit
        for (dataset, chosen), measure in zip(sides, place.measures(run), strict=True)
        for unit in plan_measurement(run, dataset, chosen, measure)
    ]


def plan_level_map(run: Run, level: int, number: int = 0) -> list[Planned]:
    """Return the unit that solves the operator up to a level, without a job if that is done.

    Args:
        run: the configuration and its workspace.
        level: of the decoder.
        number: of the round.

    Returns:
        nothing if the level's map is not wanted, or not solved anew.

    Raises:
        StepMissing: activations have not been measured.
    """
    selection = chosen_images(run)
    place = _Place.of(run, selection, level, number)
    if place is None:
        return []
    ridge = run.config.fit.ridge
    files = MomentFiles.of_measures(run, selection, place.measures(run))
    inputs = {"below": place.digest, "level": level, **files.inputs(ridge)}
    survey = run.workspace.ledger.survey(place.artifact.rpartition("/")[0])
    target = aim(survey, place.artifact, "reduce level", inputs)
    if target is None:
        return [Planned("", 0, None, (place.artifact,))]
    whole = place.latents
    job = SolveLevelJob(
        workspace=run.workspace.url,
        target=target,
        below=place.below,
        level=level,
        files=files,
        ridge=ridge,
        recipe=recipe_digest(run.config, whole) if level == whole.levels[-1] else None,
        fitted_on=fitted_on(selection),
    )
    return [Planned("", 0, job, (place.artifact,))]


class _Place(NamedTuple):
    """A level between the operator below it and that which its map is part of."""

    level: int
    below: str
    """Artifact of the operator with the maps below."""
    digest: str
    """Of that artifact."""
    noise: dict[str, int]
    """The seed of its noise, as an input by its name; empty if it adds none."""
    artifact: str
    """Of the operator with this level's map too."""
    latents: MomentFiles
    """The moments of latents that the fit begins with, up to the level's round."""
    ended: Ended | None
    """What the round goes on with; None for the first."""

    @classmethod
    def of(cls, run: Run, selection: Selection, level: int, number: int) -> "_Place | None":
        """Return the place of a level; None if it is not moved, or an operator in use stays.

        Raises:
            StepMissing: the maps below are not solved.
        """
        levels, dataset = levels_of(run.config), run.config.restored_name
        if level not in levels:
            return None
        reduction = plan_round(run, selection, number)
        job, latent, files = reduction.job, reduction.artifact, reduction.files
        if reduction.is_kept(run.config.fit.ridge):
            return None
        files = files.up_to_round(number)
        operator = files.operator(run.config.fit.ridge)
        if job is not None:
            raise StepMissing(
                "the map of latents must be solved, but is not; run `dotpipe fit CONFIG` first"
            )
        before = [unfinished_operator(operator, each) for each in levels if each < level]
        below = operator_artifact(dataset, before[-1]) if before else latent
        own = operator if level == levels[-1] else unfinished_operator(operator, level)
        survey = run.workspace.ledger.survey(below.rpartition("/")[0])
        digest = finished_digest(survey, below, "fit")
        facts = run.workspace.ledger.facts(survey.records(below)[-1])
        seed = run.config.enhance.seed
        noise = {"seed": seed} if adds_noise(facts) else {}
        ended = Ended.before(run, selection, number) if number else None
        return cls(level, below, digest, noise, operator_artifact(dataset, own), files, ended)

    def measures(self, run: Run) -> tuple[Measure, Measure]:
        """Return what is measured of source and target.

        The target's activations are those of the decoder as it is, whatever the operator.
        """
        config = run.config
        size, seed = config.transport.level_patch, config.enhance.seed
        met = Met(level=self.level, operator=self.below, fold=config.patches.fold, seed=seed)
        shared = {
            **encoding_of(config),
            "level": self.level,
            "patch_size": size,
        }
        moved = {"below": self.digest, "fold": met.fold, **self.noise}
        plain = met.model_copy(update={"operator": None})
        natural = measure_name(config)
        after, latents = (
            (self.ended.after, self.ended.measure.name) if self.ended else (None, natural)
        )
        return (
            Measure(fingerprint("measure level", shared | moved)[:16], size, met, after, latents),
            Measure(fingerprint("measure level", shared)[:16], size, plain, None, natural),
        )
