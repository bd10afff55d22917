"""The plan of a round: whose moments of latents are missing, and whether its map is solved."""

from dataclasses import asdict
from typing import NamedTuple

from tasks.config import Run
from tasks.fit.decision import recipe_digest
from tasks.fit.earlier_rounds.images import After
from tasks.fit.measurement_plan import (
    Measure,
    chosen_by_dataset,
    encoding_of,
    measure_of,
    plan_measurement,
)
from tasks.fit.reduce import Reduction, adds_noise, fitted_on, plan_reduction
from tasks.fit.rounds.solve import SolveRoundJob
from tasks.fit.select import Selection, chosen_images
from tasks.fit.statistics import MomentFiles, between_rounds
from tasks.io.errors import StepMissing
from tasks.io.ledger import fingerprint
from tasks.io.workspace import operator_artifact, unfinished_operator
from tasks.jobs import Planned, aim, finished_digest


class Ended(NamedTuple):
    """The operator that the rounds before one end with."""

    artifact: str
    digest: str
    files: MomentFiles
    """The moments that the whole fit begins with."""
    after: After
    """What restored images have gone through with these rounds."""
    measure: Measure
    """Of the latents of such images."""

    @classmethod
    def before(cls, run: Run, selection: Selection, number: int) -> "Ended | None":
        """Return what a round after the first goes on with; None if an operator in use stays.

        Raises:
            StepMissing: the rounds before are not solved.
        """
        reduction = plan_reduction(run, selection)
        if reduction.is_kept(run.config.fit.ridge):
            return None
        if reduction.job is not None:
            raise StepMissing(
                "the map of latents must be solved, but is not; run `dotpipe fit CONFIG` first"
            )
        files = reduction.files
        name = files.up_to_round(number - 1).operator(run.config.fit.ridge)
        artifact = operator_artifact(run.config.restored_name, name)
        survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
        digest = finished_digest(survey, artifact, "fit")
        facts = run.workspace.ledger.facts(survey.records(artifact)[-1])
        between, seed = between_rounds(run.config), run.config.enhance.seed
        after = After(operator=artifact, between=between, seed=seed)
        measure = _measure(run, after, digest, adds_noise(facts))
        return cls(artifact, digest, files, after, measure)


def _measure(run: Run, after: After, digest: str, is_stochastic: bool) -> Measure:
    """Return what is measured of restored images after the rounds of an operator.

    Args:
        run: the configuration and its workspace.
        after: these rounds.
        digest: of their operator.
        is_stochastic: whether it adds noise.
    """
    config = run.config
    inputs = {
        **encoding_of(config),
        "patch_size": config.patch_size,
        "after": digest,
        "between": asdict(after.between),
        **({"seed": after.seed} if is_stochastic else {}),
    }
    return Measure(fingerprint("measure again", inputs)[:16], config.patch_size, None, after)


def plan_round_measurement(run: Run, number: int) -> list[Planned]:
    """Return a unit for every shard with restored images of the fit; done ones have no job.

    Natural images are those of the first round, and so are the moments of their latents.

    Args:
        run: the configuration and its workspace.
        number: of the round, from 1; there are no units if an operator in use stays.

    Raises:
        StepMissing: images are not chosen, or the rounds before are not solved.
    """
    selection = chosen_images(run)
    ended = Ended.before(run, selection, number)
    if ended is None:
        return []
    dataset = run.config.source_name
    chosen = chosen_by_dataset(run.config, selection)[dataset]
    return plan_measurement(run, dataset, chosen, ended.measure)


def plan_round_map(run: Run, number: int) -> list[Planned]:
    """Return the unit that solves a round's map of latents, without a job if that is done.

    Returns:
        nothing for the first round, whose map is that of the fit itself, or if an operator in use
        stays.

    Raises:
        StepMissing: latents have not been measured.
    """
    if number == 0:
        return []
    reduction = plan_round(run, chosen_images(run), number)
    if reduction.is_kept(run.config.fit.ridge):
        return []
    return [Planned("", 0, reduction.job, (reduction.artifact,))]


def plan_round(run: Run, selection: Selection, number: int) -> Reduction:
    """Return the operator of a run, and the job that solves the map of latents of a round.

    Raises:
        StepMissing: latents have not been measured, or the rounds before are not solved.
    """
    ended = Ended.before(run, selection, number) if number else None
    if ended is None:
        return plan_reduction(run, selection)
    ridge, dataset = run.config.fit.ridge, run.config.restored_name
    whole, own = ended.files.operator(ridge), ended.files.up_to_round(number)
    name = own.operator(ridge)
    name = unfinished_operator(name, None) if own.levels else name
    artifact = operator_artifact(dataset, name)
    files = MomentFiles.of_measures(run, selection, (ended.measure, measure_of(run.config)))
    inputs = {"below": ended.digest, "round": number, **own.repeating(), **files.inputs(ridge)}
    survey = run.workspace.ledger.survey(artifact.rpartition("/")[0])
    target = aim(survey, artifact, "reduce", inputs)
    if target is None:
        return Reduction(whole, None, artifact, ended.files)
    job = SolveRoundJob(
        workspace=run.workspace.url,
        target=target,
        below=ended.artifact,
        files=files,
        between=ended.after.between,
        ridge=ridge,
        recipe=None if own.levels else recipe_digest(run.config, own),
        fitted_on=fitted_on(selection),
    )
    return Reduction(whole, job, artifact, ended.files)
